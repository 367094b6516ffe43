"""The first maximum of each window, or the first minimum: how every pool that chooses is computed.

Each axis is reduced by comparing shifted slices, last axis first, and keeping the earlier entry where two are equal:
what is left is the first maximum in row-major order, and the derivative of the selections sends it the whole gradient.
No scatter is involved, so gradients are bitwise the same on every run, on GPUs as well, and exist to any order in both
modes, for dilated windows too.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.functional.windows import LONGEST_CHAIN, on_axis, padded, rows, taps
from jaxcnn.shapes.pool import PoolAxis, PoolPlan

# From this many entries on, a row is reduced by one reduction instead of comparing its entries one after the other.
WIDE_ROW = 5


@dataclasses.dataclass(frozen=True)
class Order:
    """Which of two entries is better."""

    greatest: bool

    def better(self, late: jax.Array, early: jax.Array) -> jax.Array:
        """Whether the late entry takes the place of the early one; NaN does, so that it is not lost."""
        take = late > early if self.greatest else late < early
        return take | jnp.isnan(late) if jnp.issubdtype(late.dtype, jnp.floating) else take

    def best(self, x: jax.Array, axes: Sequence[int]) -> jax.Array:
        """The best value over some axes, which stay with length 1."""
        return x.max(axes, keepdims=True) if self.greatest else x.min(axes, keepdims=True)

    def worst(self, dtype: Any) -> Any:
        """The value that is better than none: padding is filled with it."""
        if jnp.issubdtype(dtype, jnp.floating):
            return -jnp.inf if self.greatest else jnp.inf
        if dtype == jnp.bool_:
            return not self.greatest
        return jnp.iinfo(dtype).min if self.greatest else jnp.iinfo(dtype).max


MAXIMUM = Order(greatest=True)
MINIMUM = Order(greatest=False)


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of some taps at each position of one axis.

    Attributes:
        value: the entries.
        index: where the entries came from, when asked for.
        real: for each position of the axis, whether any tap so far reads the input. Plain integers decide this.
    """

    value: jax.Array
    index: jax.Array | None
    real: np.ndarray

    def sliced(self, at: int, start: int, stop: int, step: int = 1) -> "Best":
        """Some positions of the axis."""
        index = None if self.index is None else lax.slice_in_dim(self.index, start, stop, step, axis=at)
        return Best(lax.slice_in_dim(self.value, start, stop, step, axis=at), index, self.real[start:stop:step])

    def beaten_by(self, late: "Best", at: int, order: Order) -> "Best":
        """Position by position the better one, this one where they are equal."""
        take = order.better(late.value, self.value)
        only_late = late.real & ~self.real  # padding gives way to an entry that is no better than it
        if only_late.any():
            take |= on_axis(only_late, at, take.ndim, jnp.bool_)
        index = None
        if self.index is not None and late.index is not None:
            index = jnp.where(take, late.index, self.index)
        return Best(jnp.where(take, late.value, self.value), index, self.real | late.real)


def as_ordered(x: jax.Array, *, who: str) -> jax.Array:
    """The array, if its type has an order.

    Raises:
        TypeError: complex numbers.
    """
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"{who}: x is complex ({x.dtype}), and complex numbers have no order. Pool jnp.abs(x) instead.")
    return x


@functools.partial(jax.jit, static_argnums=(1, 2))
def best_of_windows(
    x: jax.Array, plan: PoolPlan, order: Order, index: jax.Array | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """The best entry of each window, and what ``index`` holds where it stands (-1 for a window of only padding)."""
    first = x.ndim - 1 - len(plan)
    for i, axis in reversed(list(enumerate(plan))):
        if axis.trivial:
            continue
        if axis.apart and axis.window >= WIDE_ROW:
            x, index = _by_rows(x, index, axis, first + i, order)
        else:
            reduce_axis = _by_chain if axis.window <= LONGEST_CHAIN else _by_doubling
            best = reduce_axis(x, index, axis, first + i, order)
            x, index = best.value, best.index
    return x, index


def _by_chain(x: jax.Array, index: jax.Array | None, axis: PoolAxis, at: int, order: Order) -> Best:
    """Every tap in turn."""
    values = taps(x, axis, at, fill=order.worst(x.dtype))
    indices = [None] * axis.window if index is None else taps(index, axis, at, fill=-1)
    entries = [Best(*pair, np.array(axis.inside(tap))) for tap, pair in enumerate(zip(values, indices, strict=True))]
    return functools.reduce(lambda early, late: early.beaten_by(late, at, order), entries)


def _by_doubling(x: jax.Array, index: jax.Array | None, axis: PoolAxis, at: int, order: Order) -> Best:
    """The best of 1, 2, 4, ... taps from every start; two of them, which may overlap, make the window."""
    span = (axis.positions - 1) * axis.stride + 1
    length = span + axis.last
    best = Best(
        padded(x, axis, at, length, fill=order.worst(x.dtype)),
        None if index is None else padded(index, axis, at, length, fill=-1),
        np.array([axis.reads(entry - axis.before) for entry in range(length)]),
    )
    count = 1
    while 2 * count <= axis.window:
        shift = count * axis.dilation
        keep = best.real.size - shift
        best = best.sliced(at, 0, keep).beaten_by(best.sliced(at, shift, shift + keep), at, order)
        count *= 2
    shift = (axis.window - count) * axis.dilation
    late = best.sliced(at, shift, shift + span, axis.stride)
    return best.sliced(at, 0, span, axis.stride).beaten_by(late, at, order)


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
    if x.shape[at] >= WIDE_ROW:
        return choose_over(x, (at,), order)[0]
    entries = [lax.index_in_dim(x, i, axis=at, keepdims=False) for i in range(x.shape[at])]
    return functools.reduce(lambda early, late: jnp.where(order.better(late, early), late, early), entries)


def choose_over(
    x: jax.Array,
    axes: Sequence[int],
    order: Order,
    *,
    index: jax.Array | None = None,
    real: np.ndarray | None = None,
) -> tuple[jax.Array, jax.Array | None]:
    """The best entry over whole axes, the first in row-major order of equal ones, and ``index`` where it stands.

    With ``real``, which broadcasts against ``x``, only entries that it marks are chosen; each result has one.
    """
    known = lax.stop_gradient(x)
    best = order.best(known, axes)
    hits = known == best
    if jnp.issubdtype(x.dtype, jnp.floating):
        hits |= jnp.isnan(known)
    if real is not None:
        hits &= jnp.asarray(real)
    sizes = [x.shape[axis] for axis in axes]
    steps = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
    place = functools.reduce(
        jnp.add,
        (on_axis(np.arange(n) * s, a, x.ndim, jnp.int32) for n, s, a in zip(sizes, steps, axes, strict=True)),
    )
    first = jnp.where(hits, place, math.prod(sizes)).min(axes, keepdims=True)
    chosen = place == first
    where = None if index is None else jnp.where(chosen, index, 0).sum(axes, dtype=index.dtype)
    if x.dtype == jnp.bool_:
        return (chosen & x).any(axes), where
    return jnp.where(chosen, x, jnp.zeros((), x.dtype)).sum(axes, dtype=x.dtype), where
