"""Pools that add: the average over windows."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import accumulator_dtype, as_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import Padding, PoolAxis, PoolPlan
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional.taps import add_taps, by_taps, passes, reduce_taps
from jaxcnn.functional.windows import on_axis, padded, plan_windows, rows


def avg_pool(
    x: jax.Array,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> jax.Array:
    """The average of ``x`` over each window.

    ``y[..., o, c] = sum over j of x[..., o * stride - before + j * dilation, c] / n(o)``, with 0 outside ``x``, and
    ``n(o)`` the number of entries of ``x`` in the window. ``count_include_pad=True`` counts padded zeros as well, but
    never what ``ceil_mode`` lets hang over the padded input. A window that reads only padding gives 0.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are averaged in the default floating type; types of fewer than
            32 bits are summed in float32.
        window_shape: one integer per spatial axis; it fixes how many axes are spatial.
        strides: steps between windows. There is no default: libraries differ in theirs.
        padding: as everywhere in the library.
        window_dilation: steps between the entries of a window.
        ceil_mode: also the last, incomplete window counts, unless it would start in the padding after.
        count_include_pad: whether padded zeros are averaged in. (Flax and PyTorch do so by default.)

    Returns:
        ``(*batch, *out_spatial, channels)``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        TypeError: options of another kind, or booleans to average.

    Source: LeCun et al. (1989), "Backpropagation applied to handwritten zip code recognition"; the rules of
    ``ceil_mode`` and ``count_include_pad`` are those of PyTorch and ONNX.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> ramp = jnp.arange(1.0, 6.0)[:, None]
    >>> F.avg_pool(ramp, (2,), strides=2)[:, 0]
    Array([1.5, 3.5], dtype=float32)
    >>> F.avg_pool(ramp, (2,), strides=2, padding="SAME")[:, 0]  # the 5 stands alone
    Array([1.5, 3.5, 5. ], dtype=float32)
    >>> F.avg_pool(ramp, (2,), strides=2, padding="SAME", count_include_pad=True)[:, 0]
    Array([1.5, 3.5, 2.5], dtype=float32)
    """
    x = as_float(x)
    if not isinstance(count_include_pad, bool):
        raise TypeError(f"count_include_pad is True or False, not {count_include_pad!r}.")
    plan = plan_windows(
        x,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
    )
    return _average(x, plan, count_include_pad)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _average(x: jax.Array, plan: PoolPlan, include_pad: bool) -> jax.Array:
    total = window_sum(widened(x), plan)
    counts = [axis.counts(include_pad=include_pad) for axis in plan]
    return (total / divisor(counts, total)).astype(x.dtype)


def divisor(counts: Sequence[Sequence[int]], total: jax.Array) -> jax.Array | float:
    """How many entries were summed at each position, at least 1, from their number on each spatial axis."""
    if all(len(set(count)) == 1 for count in counts):
        return count_as_float(max(math.prod(count[0] for count in counts), 1))
    first = total.ndim - 1 - len(counts)
    each = [on_axis([max(n, 1) for n in count], first + i, total.ndim, total.dtype) for i, count in enumerate(counts)]
    return functools.reduce(jnp.multiply, each)


def count_as_float(count: int) -> Any:
    """A number of entries to divide by: an integer of more than 31 bits is no JAX scalar, and a float always is."""
    return count if is_symbolic(count) else float(count)


def as_float(x: jax.Array) -> jax.Array:
    """The array, with integers in the default floating type.

    Raises:
        TypeError: booleans.
    """
    (x,) = as_arrays(x=x)
    if x.dtype == jnp.bool_:
        raise TypeError("x holds booleans. Convert it, for instance with x.astype(jnp.float32).")
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.zeros(()).dtype)


def widened(x: jax.Array) -> jax.Array:
    """The array in the type to sum it in: float32 for floating types of fewer than 32 bits."""
    return x.astype(accumulator_dtype(x.dtype))


def window_sum(x: jax.Array, plan: PoolPlan) -> jax.Array:
    """The sum over each window; zeros lie outside."""
    first = x.ndim - 1 - len(plan)
    for start, stop in passes(plan):
        few = by_taps(plan, start, stop)
        if few is not None:
            x = _sum_of_taps(x, few)
        elif plan[start].apart:
            x = rows(x, plan[start], first + start, fill=0).sum(first + start + 1)
        else:
            x = by_doubling(x, plan[start], first + start, lax.add)
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _sum_of_taps(x: jax.Array, plan: PoolPlan) -> jax.Array:
    """Adds every tap of all axes of this plan."""
    return reduce_taps(x, plan, lax.add, 0)


@_sum_of_taps.defjvp
def _differentiate(
    plan: PoolPlan, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return _sum_of_taps(*primals, plan), add_taps(*tangents, plan)


def by_doubling(
    x: jax.Array, axis: PoolAxis, at: int, combine: Callable[[jax.Array, jax.Array], jax.Array]
) -> jax.Array:
    """Combines 1, 2, 4, ... taps from every start; a window combines the powers of two that its length is the sum of.

    ``combine`` is associative, with 0 as its identity element; each tap is combined once. The difference of
    two entries of a running sum would be shorter, and would lose every digit that both share.
    """
    span = (axis.positions - 1) * axis.stride + 1
    x = padded(x, axis, at, span + axis.last, fill=0)
    total, offset, length = None, 0, 1
    while True:
        if axis.window & length:
            part = lax.slice_in_dim(x, offset, offset + span, axis.stride, axis=at)
            total = part if total is None else combine(total, part)
            offset += length * axis.dilation
        if 2 * length > axis.window:
            assert total is not None  # the window has at least one tap
            return total
        shift = length * axis.dilation
        keep = x.shape[at] - shift
        x = combine(lax.slice_in_dim(x, 0, keep, axis=at), lax.slice_in_dim(x, shift, shift + keep, axis=at))
        length *= 2
