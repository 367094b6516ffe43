"""Pools that choose: the maximum or minimum over windows, with a gradient that goes to the first one.

Each axis is reduced by comparing shifted slices, last axis first, and keeping the earlier entry where two are equal:
what is left is the first maximum in row-major order, and the derivative of the selections sends it the whole gradient.
No scatter is involved, so gradients are bitwise the same on every run, on GPUs as well, and exist to any order in both
modes, for dilated windows too.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.functional.windows import LONGEST_CHAIN, on_axis, pad_to, plan_windows, taps
from jaxcnn.shapes.axes import IntPerAxis
from jaxcnn.shapes.padding import Padding
from jaxcnn.shapes.pool import PoolAxis, PoolPlan


def max_pool(
    x: jax.Array,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """The maximum of ``x`` over each window.

    ``y[..., o, c] = max over j of x[..., o * stride - before + j * dilation, c]`` on each axis, over the entries that
    lie in ``x``: padding never wins, not against ``-inf`` either. Among equal maxima the first in row-major order gets
    the whole gradient, as in Flax. NaN wins over every number. A window that reads only padding gives the least value
    of the type, ``-inf`` for floating types, and passes no gradient.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type: floating, integer or boolean.
        window_shape: one integer per spatial axis; it fixes how many axes are spatial.
        strides: steps between windows. There is no default: libraries differ in theirs.
        padding: as everywhere in the library.
        window_dilation: steps between the entries of a window.
        ceil_mode: also the last, incomplete window counts, unless it would start in the padding after.

    Returns:
        ``(*batch, *out_spatial, channels)``, of the type of ``x``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        TypeError: options of another kind, or complex numbers, which have no order.

    Source: Ranzato et al. (2007), "Unsupervised learning of invariant feature hierarchies with applications to object
    recognition", section 3; Goodfellow, Bengio, Courville (2016), "Deep learning", section 9.3.

    >>> import jax, jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([[0., 3., 1.], [3., 2., 1.], [0., 0., 5.]])[:, :, None]
    >>> F.max_pool(x, (2, 2), strides=1)[..., 0]
    Array([[3., 3.],
           [3., 5.]], dtype=float32)
    >>> jax.grad(lambda x: F.max_pool(x, (2, 2), strides=2).sum())(x)[..., 0]  # of two threes the first
    Array([[0., 1., 0.],
           [0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    return _pool(x, window_shape, strides, padding, window_dilation, ceil_mode, MAXIMUM, "max_pool")


def min_pool(
    x: jax.Array,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """The minimum of ``x`` over each window: ``max_pool`` with the order turned round.

    The first minimum in row-major order gets the whole gradient; NaN wins over every number; a window that reads only
    padding gives the greatest value of the type. On binary images this is the morphological erosion.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type: floating, integer or boolean.
        window_shape: one integer per spatial axis; it fixes how many axes are spatial.
        strides: steps between windows. There is no default: libraries differ in theirs.
        padding: as everywhere in the library.
        window_dilation: steps between the entries of a window.
        ceil_mode: also the last, incomplete window counts, unless it would start in the padding after.

    Returns:
        ``(*batch, *out_spatial, channels)``, of the type of ``x``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        TypeError: options of another kind, or complex numbers, which have no order.

    Source: Serra (1982), "Image analysis and mathematical morphology": erosion by a flat structuring element.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.min_pool(jnp.array([4, 1, 3, 2, 5], jnp.uint8)[:, None], (3,), strides=1, padding="SAME")[:, 0]
    Array([1, 1, 1, 2, 2], dtype=uint8)
    """
    return _pool(x, window_shape, strides, padding, window_dilation, ceil_mode, MINIMUM, "min_pool")


@dataclasses.dataclass(frozen=True)
class Order:
    """Which of two entries is better, and what is never better than an entry."""

    better: Callable[[jax.Array, jax.Array], jax.Array]
    greatest: bool

    def worst(self, dtype: Any) -> Any:
        """The value that padding is filled with."""
        if jnp.issubdtype(dtype, jnp.floating):
            return -jnp.inf if self.greatest else jnp.inf
        if dtype == jnp.bool_:
            return not self.greatest
        return jnp.iinfo(dtype).min if self.greatest else jnp.iinfo(dtype).max


MAXIMUM = Order(jnp.greater, greatest=True)
MINIMUM = Order(jnp.less, greatest=False)


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of some taps at each position of one axis.

    Attributes:
        value: the entries.
        real: for each position of the axis, whether any tap so far reads the input. Plain integers decide this.
        index: where the entries came from, when asked for.
    """

    value: jax.Array
    real: np.ndarray
    index: jax.Array | None

    def sliced(self, at: int, start: int, stop: int, step: int = 1) -> "Best":
        """Some positions of the axis."""
        index = None if self.index is None else lax.slice_in_dim(self.index, start, stop, step, axis=at)
        return Best(lax.slice_in_dim(self.value, start, stop, step, axis=at), self.real[start:stop:step], index)


def _pool(
    x: jax.Array,
    window_shape: Sequence[int],
    strides: IntPerAxis,
    padding: Padding,
    window_dilation: IntPerAxis,
    ceil_mode: bool,
    order: Order,
    who: str,
) -> jax.Array:
    x = as_ordered(x, who=who)
    plan = plan_windows(
        x,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
        who=who,
    )
    return choose(x, None, plan, order)[0]


def as_ordered(x: jax.Array, *, who: str) -> jax.Array:
    """The array, if its type has an order.

    Raises:
        TypeError: complex numbers.
    """
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"{who}: x is complex ({x.dtype}), and complex numbers have no order. Pool jnp.abs(x) instead.")
    return x


@functools.partial(jax.jit, static_argnums=(2, 3))
def choose(x: jax.Array, index: jax.Array | None, plan: PoolPlan, order: Order) -> tuple[jax.Array, jax.Array | None]:
    """The best entry of each window, and what ``index`` holds where it stands (-1 for a window of only padding)."""
    first = x.ndim - 1 - len(plan)
    for i, axis in reversed(list(enumerate(plan))):
        if not axis.trivial:
            short = axis.window <= LONGEST_CHAIN
            best = (_by_chain if short else _by_doubling)(x, index, axis, first + i, order)
            x, index = best.value, best.index
    return x, index


def _by_chain(x: jax.Array, index: jax.Array | None, axis: PoolAxis, at: int, order: Order) -> Best:
    """Every tap in turn."""
    values = taps(x, axis, at, fill=order.worst(x.dtype))
    indices = [None] * axis.window if index is None else taps(index, axis, at, fill=-1)
    entries = [
        Best(value, np.array(axis.inside(j)), where)
        for j, (value, where) in enumerate(zip(values, indices, strict=True))
    ]
    return functools.reduce(functools.partial(_better, order=order, at=at), entries)


def _by_doubling(x: jax.Array, index: jax.Array | None, axis: PoolAxis, at: int, order: Order) -> Best:
    """The best of 1, 2, 4, ... taps from every start; two of them that may overlap make the window."""
    span = (axis.positions - 1) * axis.stride + 1
    length = span + axis.last
    inside = np.arange(length) - axis.before
    best = Best(
        pad_to(x, at, axis.before, length, fill=order.worst(x.dtype)),
        (inside >= max(0, -axis.before)) & (inside < axis.size + min(0, axis.after)),
        None if index is None else pad_to(index, at, axis.before, length, fill=-1),
    )
    count = 1
    while 2 * count <= axis.window:
        shift = count * axis.dilation
        keep = best.real.size - shift
        best = _better(best.sliced(at, 0, keep), best.sliced(at, shift, shift + keep), order=order, at=at)
        count *= 2
    shift = (axis.window - count) * axis.dilation
    start = best.sliced(at, 0, span, axis.stride)
    return _better(start, best.sliced(at, shift, shift + span, axis.stride), order=order, at=at)


def _better(early: Best, late: Best, *, order: Order, at: int) -> Best:
    """Entry by entry the better one, the early one where they are equal."""
    take = order.better(late.value, early.value)
    if jnp.issubdtype(late.value.dtype, jnp.floating):
        take |= jnp.isnan(late.value)
    only_late = late.real & ~early.real  # padding gives way to an entry that is no better than it
    if only_late.any():
        take |= on_axis(only_late, at, take.ndim, jnp.bool_)
    index = None if early.index is None else jnp.where(take, late.index, early.index)
    return Best(jnp.where(take, late.value, early.value), early.real | late.real, index)
