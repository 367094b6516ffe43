"""The first maximum of each window, or the first minimum: how every pool that chooses is computed.

Windows of a few taps are compared tap by tap, all axes at once or axis after axis, last axis first; longer ones by
doubling, or as rows where they lie apart. What is left is the first maximum in row-major order, and it alone gets the
gradient. No scatter is involved, so gradients are bitwise the same on every run, on GPUs as well, and exist to any
order in both modes, for dilated windows too.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import as_arrays
from jaxcnn._geometry import PoolAxis, PoolPlan
from jaxcnn.functional._materialized import materialized, materialized_if_differentiated
from jaxcnn.functional.doubling import best_by_doubling
from jaxcnn.functional.first_tap import best_tap, first_taps, tap_value
from jaxcnn.functional.ordering import Order, comparable, is_best, narrowed
from jaxcnn.functional.taps import add_told_taps, by_taps, passes
from jaxcnn.functional.windows import rows


def as_ordered(x: jax.Array) -> jax.Array:
    """The array, if its type has an order.

    Raises:
        TypeError: complex numbers.
    """
    (x,) = as_arrays(x=x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x is complex ({x.dtype}), and complex numbers have no order. Pool jnp.abs(x) instead.")
    return x


@functools.partial(jax.jit, static_argnums=(1, 2))
def best_of_windows(
    x: jax.Array, plan: PoolPlan, order: Order, index: jax.Array | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """The best entry of each window, and what ``index`` holds where it stands (-1 for a window of only padding)."""
    dtype, x = x.dtype, comparable(x)
    x = materialized_if_differentiated(x) if index is None else materialized(x)
    first = x.ndim - 1 - len(plan)
    for start, stop in passes(plan):
        few = by_taps(plan, start, stop)
        if few is not None:
            x, index = _by_taps(x, index, few, order)
        elif plan[start].apart:
            x, index = _by_rows(x, index, plan[start], first + start, order)
        else:
            x, index = best_by_doubling(x, index, plan[start], first + start, order)
    return narrowed(x, dtype), index


def _by_taps(x: jax.Array, index: jax.Array | None, plan: PoolPlan, order: Order) -> tuple[jax.Array, jax.Array | None]:
    """Every tap of all axes of this plan."""
    best = best_tap(x, plan, order) if jnp.issubdtype(x.dtype, jnp.floating) else tap_value(x, plan, order)
    if index is not None:
        taps = first_taps(lax.stop_gradient(x), lax.stop_gradient(best), plan)
        index = add_told_taps(index + 1, plan, taps) - 1
    return best, index


def _by_rows(
    x: jax.Array, index: jax.Array | None, axis: PoolAxis, at: int, order: Order
) -> tuple[jax.Array, jax.Array | None]:
    """Each window a row of its own."""
    x = rows(x, axis, at, fill=order.worst(x.dtype))
    index = None if index is None else rows(index, axis, at, fill=-1)
    real = np.array([axis.inside(tap) for tap in range(axis.window)]).T
    real |= ~real.any(1, keepdims=True)  # where all is padding, let padding win
    shape = (1,) * at + real.shape + (1,) * (x.ndim - at - 2)
    return choose_over(x, (at + 1,), order, index=index, real=None if real.all() else real.reshape(shape))


def best_of_rows(x: jax.Array, at: int, order: Order) -> jax.Array:
    """The best entry over one whole axis, the first of equal ones."""
    return choose_over(x, (at,), order)[0]


def choose_over(
    x: jax.Array,
    axes: Sequence[int],
    order: Order,
    *,
    index: jax.Array | None = None,
    real: np.ndarray | None = None,
) -> tuple[jax.Array, jax.Array | None]:
    """The best entry over whole axes, the first in row-major order of equal ones, and ``index`` where it stands.

    With ``real``, which broadcasts against ``x``, only entries that it marks are chosen; each result has one, and no
    other entry is better.
    """

    def value(x: jax.Array) -> jax.Array:
        return order.best(x, axes)

    differentiable = jax.custom_jvp(value)

    @differentiable.defjvp
    def differentiate(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        (x,), (tangent,) = primals, tangents
        best = lax.optimization_barrier(differentiable(x))
        place = materialized(_first_place(x, best, axes, real))
        return best, _at_place(tangent, place, axes)

    best = differentiable(x) if jnp.issubdtype(x.dtype, jnp.floating) else value(x)
    if index is not None:
        index = _at_place(index, _first_place(x, best, axes, real), axes).squeeze(axes)
    return best.squeeze(axes), index


def _first_place(x: jax.Array, best: jax.Array, axes: Sequence[int], real: np.ndarray | None) -> jax.Array:
    """Where the first of the best entries over some axes stands, in row-major order; at the latest at the last one."""
    hits = is_best(lax.stop_gradient(x), lax.stop_gradient(best))
    last = jnp.asarray(math.prod(x.shape[axis] for axis in axes) - 1, jnp.int32)
    if real is not None:
        hits &= jnp.asarray(real)
        last = jnp.where(jnp.asarray(real), _places(x, axes), -1).max(axes, keepdims=True)
    return jnp.where(hits, _places(x, axes), last).min(axes, keepdims=True)


def _at_place(x: jax.Array, place: jax.Array, axes: Sequence[int]) -> jax.Array:
    """What ``x`` holds at one place of some axes. Linear in ``x``."""
    chosen = _places(x, axes) == place
    return jnp.where(chosen, x, jnp.zeros((), x.dtype)).sum(axes, dtype=x.dtype, keepdims=True)


def _places(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """The entries of some axes numbered in row-major order, with length 1 on the other axes."""
    places, step = jnp.zeros((1,) * x.ndim, jnp.int32), 1
    for axis in reversed(axes):
        shape = [size if i == axis else 1 for i, size in enumerate(x.shape)]
        places += lax.broadcasted_iota(jnp.int32, shape, axis) * step
        step *= x.shape[axis]
    return places
