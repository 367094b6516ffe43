"""Maxima and minima over windows and over whole axes; of equal entries the first in row-major order is chosen.

The value is found first, by a reduction that XLA computes fast. Only if a derivative or an index is required, a second
pass finds the place of the first entry that equals the value. The derivative takes the tangent at that place. Nothing
is scattered, so gradients are bitwise the same on every run, on GPUs as well, and exist to any order in both modes.
(XLA's own gradient of a windowed maximum scatters, and takes 20 to 50 times as long on two CPU cores. It is used on
TPUs, where it has a fixed order too, as ``by_platform`` explains.)

The entries that both passes read are in one buffer, as ``_materialized`` explains, and so are the places; otherwise XLA
would find them again for each entry that may receive a cotangent.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._geometry import PoolAxis, PoolPlan
from jaxcnn.functional._pooling._materialized import materialized, materialized_if_differentiated
from jaxcnn.functional._pooling._windows import (
    NO_TAP,
    Array,
    as_rows,
    by_platform,
    combine_by_doubling,
    on_axis,
    over_taps,
    padded,
    read_mask,
    reduce_by_window,
    reduce_taps,
    reduce_windows,
    sum_of_taps,
)


@dataclasses.dataclass(frozen=True)
class Extremum:
    """The maximum or the minimum, as an operation on arrays."""

    greatest: bool

    @property
    def of_two(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """``lax.max`` or ``lax.min``, which propagate NaN. JAX differentiates windowed reductions by them."""
        return lax.max if self.greatest else lax.min

    def over(self, x: jax.Array, axes: Sequence[int]) -> jax.Array:
        """The extremum over some axes; NaN where there is one."""
        return x.max(axes) if self.greatest else x.min(axes)

    def identity(self, dtype: Any) -> Any:
        """The identity element, which padding is filled with."""
        if jnp.issubdtype(dtype, jnp.floating):
            return -jnp.inf if self.greatest else jnp.inf
        if dtype == jnp.bool_:
            return not self.greatest
        return jnp.iinfo(dtype).min if self.greatest else jnp.iinfo(dtype).max

    def replaces(self, late: jax.Array, early: jax.Array) -> jax.Array:
        """Whether a later entry replaces an earlier one: if it is more extreme, or is the first NaN."""
        keep = early >= late if self.greatest else early <= late
        return ~(keep | jnp.isnan(early)) if jnp.issubdtype(early.dtype, jnp.floating) else ~keep


MAXIMUM, MINIMUM = Extremum(greatest=True), Extremum(greatest=False)


def as_ordered(x: ArrayLike) -> jax.Array:
    """The array, if its type has an order.

    Raises:
        TypeError: complex numbers.
    """
    x = as_array(x, name="x")
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x is complex ({x.dtype}), and complex numbers have no order. Pool jnp.abs(x) instead.")
    return x


def comparable(x: jax.Array) -> jax.Array:
    """The array in a type to find extrema in: a wider one for numbers of fewer than 8 bits and for 8-bit floats.

    The conversion is exact. XLA does not compile every operation for these types, and most of them have no infinity.
    """
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits <= 8 else x
    if x.dtype != jnp.bool_ and jnp.iinfo(x.dtype).bits < 8:
        return x.astype(jnp.int8)
    return x


def narrowed(y: jax.Array, dtype: Any) -> jax.Array:
    """Extrema in the type of the input; identity elements outside its range become its last number."""
    if y.dtype == dtype:
        return y
    floating = jnp.issubdtype(dtype, jnp.floating)
    if floating and np.isinf(np.asarray(np.inf, dtype)):
        return y.astype(dtype)
    limits: Any = jnp.finfo(dtype) if floating else jnp.iinfo(dtype)
    return jnp.clip(y, jnp.asarray(limits.min, y.dtype), jnp.asarray(limits.max, y.dtype)).astype(dtype)


@functools.partial(jax.jit, static_argnums=(1, 2))
def extremum_of_windows(
    x: jax.Array, plan: PoolPlan, extremum: Extremum, index: jax.Array | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """The extremum of each window, and the entry of ``index`` at its place (-1 for a window of only padding)."""
    dtype, x = x.dtype, comparable(x)
    if index is not None:
        y, index = _by_axes((materialized(x), index), plan, extremum)
        return narrowed(y, dtype), index
    identity, first = extremum.identity(x.dtype), x.ndim - 1 - len(plan)
    y = by_platform(
        x,
        plan,
        one_window=lambda x: reduce_by_window(x, plan, first, extremum.of_two, identity),
        by_axes=lambda x: _by_axes((materialized_if_differentiated(x), None), plan, extremum)[0],
    )
    return narrowed(y, dtype), None


_State = tuple[jax.Array, jax.Array | None]  # entries, and the index of each if indices are required


def _by_axes(state: _State, plan: PoolPlan, extremum: Extremum) -> _State:
    """The extremum of each window, a few axes after the other."""

    def by_taps(state: _State, axes: PoolPlan, at: int) -> _State:
        return _chosen(state, _Taps(axes, at), extremum)

    def by_rows(state: _State, axis: PoolAxis, at: int) -> _State:
        x, index = state
        x = as_rows(x, axis, at, extremum.identity(x.dtype))
        index = None if index is None else as_rows(index, axis, at, -1)
        return _chosen((x, index), _WholeAxes((at + 1,), axis), extremum)

    def by_doubling(state: _State, axis: PoolAxis, at: int) -> _State:
        return _by_doubling(state, axis, at, extremum)

    first = state[0].ndim - 1 - len(plan)
    return reduce_windows(state, plan, first, by_taps=by_taps, by_rows=by_rows, by_doubling=by_doubling)


def extremum_over(x: jax.Array, axes: Sequence[int], extremum: Extremum) -> jax.Array:
    """The extremum over whole axes."""
    return _chosen((x, None), _WholeAxes(tuple(axes)), extremum)[0]


def _chosen(state: _State, search: "_Search", extremum: Extremum) -> _State:
    """The extremum of each window of a search, and the index at its place."""
    x, index = state
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    y = _value(search, extremum, x) if floating else search.value(x, extremum)  # integers have no tangents
    if index is not None:
        place = search.place(lax.stop_gradient(x), lax.stop_gradient(y))
        index = search.at_place(index + 1, place) - 1
    return y, index


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _value(search: "_Search", extremum: Extremum, x: jax.Array) -> jax.Array:
    return search.value(x, extremum)


@_value.defjvp
def _value_jvp(
    search: "_Search", extremum: Extremum, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    y = lax.optimization_barrier(_value(search, extremum, x))
    place = materialized(search.place(lax.stop_gradient(x), lax.stop_gradient(y)))
    return y, search.at_place(tangent, place)


class _Search(Protocol):
    """Where the entries of each window are."""

    def value(self, x: jax.Array, extremum: Extremum) -> jax.Array:
        """The extremum of each window. Not to be differentiated."""

    def place(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The place of the first entry of each window that equals ``y``.

        The last entry needs no comparison: if no other one equals ``y``, it does. So every window has a
        place, whatever the comparisons give.
        """

    def at_place(self, x: jax.Array, place: jax.Array) -> jax.Array:
        """The entry of ``x`` at one place of each window, 0 for a window of only padding. Linear in ``x``."""


@dataclasses.dataclass(frozen=True)
class _Taps:
    """Windows of few taps on some neighbouring axes. A place is the number of a tap, in one byte."""

    axes: PoolPlan
    at: int

    def value(self, x: jax.Array, extremum: Extremum) -> jax.Array:
        return reduce_taps(x, self.axes, self.at, extremum.of_two, extremum.identity(x.dtype))

    def place(self, x: jax.Array, y: jax.Array) -> jax.Array:
        none, last = jnp.uint8(NO_TAP), self._last()
        always = int(last.flat[0]) if (last == last.flat[0]).all() else NO_TAP

        def number(entry: jax.Array, y: jax.Array, tap: int) -> jax.Array:
            if tap == always:  # the last one of all windows: half the time of a comparison and another minimum
                return lax.full_like(y, tap, jnp.uint8)
            return jnp.where(_equal(entry, y), jnp.uint8(tap), none)

        first = over_taps((x, y), self.axes, self.at, number, lax.min, none)
        if always != NO_TAP:
            return first
        each = lax.expand_dims(jnp.asarray(last, jnp.uint8), range(-(x.ndim - self.at - len(self.axes)), 0))
        return lax.min(first, jnp.broadcast_to(each, first.shape))

    def _last(self) -> np.ndarray:
        """The number of the last tap of each window that reads the input, or ``NO_TAP``."""
        last = np.zeros((), int)
        for axis in self.axes:
            inside = read_mask(axis)
            here = np.where(inside.any(1), axis.window - 1 - inside[:, ::-1].argmax(1), NO_TAP)
            missing = (last[..., None] == NO_TAP) | (here == NO_TAP)
            last = np.where(missing, NO_TAP, last[..., None] * axis.window + here)
        return last

    def at_place(self, x: jax.Array, place: jax.Array) -> jax.Array:
        return sum_of_taps(x, self.axes, self.at, place)


@dataclasses.dataclass(frozen=True)
class _WholeAxes:
    """One window that is some whole axes, which the result does not have. A place counts their entries, as int32.

    If ``rows`` is given, the only axis holds the windows of this axis, made by ``as_rows``, padding included.
    """

    axes: tuple[int, ...]
    rows: PoolAxis | None = None

    def value(self, x: jax.Array, extremum: Extremum) -> jax.Array:
        return extremum.over(x, self.axes)

    def place(self, x: jax.Array, y: jax.Array) -> jax.Array:
        equal, places = _equal(x, lax.expand_dims(y, self.axes)), self._places(x)
        last = jnp.asarray(math.prod(x.shape[axis] for axis in self.axes) - 1, jnp.int32)
        if self.rows is not None and not (inside := self._inside(self.rows, x.ndim)).all():
            equal &= jnp.asarray(inside)
            last = jnp.where(jnp.asarray(inside), places, -1).max(self.axes, keepdims=True)
        return jnp.where(equal, places, last).min(self.axes, keepdims=True)

    def _inside(self, axis: PoolAxis, ndim: int) -> np.ndarray:
        """Which entries of rows are of the input; all of them in a row that has no such entry."""
        inside = read_mask(axis)
        inside |= ~inside.any(1, keepdims=True)
        return np.expand_dims(inside, [i for i in range(ndim) if i not in (self.axes[0] - 1, self.axes[0])])

    def at_place(self, x: jax.Array, place: jax.Array) -> jax.Array:
        return jnp.where(self._places(x) == place, x, jnp.zeros((), x.dtype)).sum(self.axes, dtype=x.dtype)

    def _places(self, x: jax.Array) -> jax.Array:
        """The entries of the axes numbered in row-major order, with length 1 on the other axes."""
        places: jax.Array = jnp.zeros((1,) * x.ndim, jnp.int32)
        for axis in self.axes:
            shape = [size if i == axis else 1 for i, size in enumerate(x.shape)]
            places = places * jnp.asarray(x.shape[axis], jnp.int32) + lax.broadcasted_iota(jnp.int32, shape, axis)
        return places


def _equal(entry: jax.Array, y: jax.Array) -> jax.Array:
    """Whether an entry equals the extremum, or is NaN; the extremum is then NaN too."""
    equal = entry == y
    return equal | jnp.isnan(entry) if jnp.issubdtype(entry.dtype, jnp.floating) else equal


class _Candidates(NamedTuple):
    """The chosen entries of some taps at each position of an axis.

    Attributes:
        value: the entries.
        indices: the index of each, if indices are required.
        real: whether any tap so far reads the input, for each position of the axis.
    """

    value: jax.Array
    indices: jax.Array | None
    real: Array


def _by_doubling(state: _State, axis: PoolAxis, at: int, extremum: Extremum) -> _State:
    """Windows of many taps. The derivative is that of the selections; there is no second pass."""
    (x, index), ones = state, [i for i in range(state[0].ndim) if i != at]
    xp: Any = jnp if axis.symbolic else np
    low, high = (xp.asarray(bound + axis.before) for bound in axis.bounds())
    entries = xp.arange(axis.span)

    def combine(early: _Candidates, late: _Candidates) -> _Candidates:
        replace = extremum.replaces(late.value, early.value)
        only_late = late.real & ~early.real  # an entry replaces padding that equals it
        if axis.symbolic or only_late.any():
            replace |= jnp.asarray(only_late)
        indices = None
        if early.indices is not None and late.indices is not None:
            indices = jnp.where(replace, late.indices, early.indices)
        return _Candidates(jnp.where(replace, late.value, early.value), indices, early.real | late.real)

    y = combine_by_doubling(
        _Candidates(
            padded(x, axis, at, axis.span, extremum.identity(x.dtype)),
            None if index is None else padded(index, axis, at, axis.span, -1),
            xp.expand_dims((low <= entries) & (entries < high), ones),
        ),
        axis,
        at,
        combine,
        idempotent=True,
    )
    return y.value, y.indices


def spatial_index(plan: PoolPlan, ndim: int) -> jax.Array:
    """The index of each position of the input in row-major order, for an array of ``ndim`` axes."""
    first = ndim - 1 - len(plan)
    index = jnp.zeros((1,) * ndim, jnp.int32)
    for at, axis in enumerate(plan, first):
        places = on_axis(jnp.arange(axis.size), at, ndim, jnp.int32)
        index = index * jnp.asarray(axis.size, jnp.int32) + places
    return index
