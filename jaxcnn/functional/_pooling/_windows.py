"""The windows of pools: how their axes are reduced, and what each window reads.

Every pool is a reduction over spatial axes, one group of neighbouring axes after the other, by one of three algorithms.
Windows of few entries are a chain of slices, one for each tap; long windows that are disjoint are rows of a
reshaped array; other long windows, and windows on axes of symbolic size, are combined by doubling. Slices and reshapes
have derivatives of any order in both modes, under every transform and sharding.

A tap is one entry of a window, numbered in row-major order. The derivative of a chain is not the transpose of its
strided slices, which would write every ``stride``-th entry. It splits each axis into blocks of ``stride`` entries
instead, so that its transpose is one dense loop.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._axes import IntPerAxis, window_per_axis
from jaxcnn._geometry import Padding, PoolAxis, PoolPlan, plan_pool, split_image_shape
from jaxcnn._portable import is_portable

State = TypeVar("State")
Array = Any  # of JAX, or of NumPy where the sizes are integers

# Neighbouring axes are reduced together if their windows have no more taps than this, or than the second number
# if the windows are disjoint, since each entry is then read by one tap only.
MOST_TAPS, MOST_DISJOINT_TAPS = 9, 64
# The most taps of one axis that are a chain: longer chains make a long program.
LONGEST_CHAIN = 8
# In place of the number of a tap: for a window that reads only padding, and for an entry that no window reads. No tap
# has these numbers, and they differ.
NO_TAP, NO_WINDOW = 255, 254


def plan_windows(
    x: jax.Array,
    window_shape: Sequence[int],
    strides: IntPerAxis,
    padding: Padding,
    window_dilation: IntPerAxis,
    ceil_mode: bool,
) -> PoolPlan:
    """The windows of a pool over the axes of ``x`` before the last one; ``window_shape`` gives their number."""
    _, sizes = split_image_shape(x.shape, len(window_per_axis(window_shape)))
    return plan_pool(
        sizes,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
    )


def reduce_windows(
    state: State,
    plan: PoolPlan,
    first: int,
    *,
    by_taps: Callable[[State, PoolPlan, int], State],
    by_rows: Callable[[State, PoolAxis, int], State],
    by_doubling: Callable[[State, PoolAxis, int], State],
) -> State:
    """Reduces the axes from ``first`` on, the last ones first. Each algorithm takes its axes and the first of them."""
    stop = len(plan)
    while stop:
        start = stop - 1
        while start and _have_few_taps(plan[start - 1 : stop]):
            start -= 1
        axes, at, stop = plan[start:stop], first + start, start
        if all(axis.trivial for axis in axes):
            continue
        if _have_few_taps(axes) or (axes[0].window <= LONGEST_CHAIN and not axes[0].symbolic):
            state = by_taps(state, axes, at)
        elif axes[0].disjoint and not axes[0].symbolic:
            state = by_rows(state, axes[0], at)
        else:
            state = by_doubling(state, axes[0], at)
    return state


def _have_few_taps(axes: PoolPlan) -> bool:
    """Whether these axes are reduced together."""
    most = MOST_DISJOINT_TAPS if all(axis.disjoint for axis in axes) else MOST_TAPS
    return math.prod(axis.window for axis in axes) <= most and not any(axis.symbolic for axis in axes)


def read_mask(axis: PoolAxis, *, include_pad: bool = False) -> Array:
    """Which taps of each window read the input, or the input and its padding: ``(positions, window)`` booleans."""
    xp: Any = jnp if axis.symbolic else np
    low, high = (xp.asarray(bound) for bound in axis.bounds(include_pad=include_pad))
    starts = xp.arange(axis.positions) * axis.stride - xp.asarray(axis.before)
    entries = starts[:, None] + axis.dilation * xp.arange(axis.window)[None]
    return (low <= entries) & (entries < high)


def on_axis(values: Sequence[Any] | Array, at: int, ndim: int, dtype: Any) -> jax.Array:
    """One value for each position of an axis, in a shape that broadcasts against an array of ``ndim`` axes."""
    values = values if isinstance(values, jax.Array) else np.asarray(values)
    return lax.expand_dims(jnp.asarray(values, dtype), [i for i in range(ndim) if i != at])


def cut(x: Array, axes: Sequence[int], starts: Sequence[int], lengths: Sequence[int], strides: int = 1) -> Array:
    """A part of some axes, in one slice. A NumPy array stays one."""
    start, stop, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
    for at, begin, length in zip(axes, starts, lengths, strict=True):
        start[at], stop[at], step[at] = begin, begin + length, strides
    if isinstance(x, np.ndarray):
        return x[tuple(map(slice, start, stop, step))]
    return lax.slice(x, start, stop, step)


def _put(x: jax.Array, first: int, starts: Sequence[int], lengths: Sequence[int], fill: Any) -> jax.Array:
    """The axes from ``first`` on, padded with ``fill`` to ``lengths`` so that they begin at ``starts``."""
    config = [(0, 0, 0)] * x.ndim
    for at, (start, length) in enumerate(zip(starts, lengths, strict=True), first):
        config[at] = (start, length - start - x.shape[at], 0)
    return x if all(pads == (0, 0, 0) for pads in config) else lax.pad(x, jnp.asarray(fill, x.dtype), config)


def padded(x: jax.Array, axis: PoolAxis, at: int, length: int, fill: Any) -> jax.Array:
    """The axis with its padding, without the entries that it crops, and ``length`` long."""
    return _put(end_cropped(x, axis, at), at, [axis.before], [length], fill)


def end_cropped(x: jax.Array, axis: PoolAxis, at: int) -> jax.Array:
    """The axis without the entries that a negative padding after removes, so that no overhang reads them."""
    cropped = axis.bounds()[1]
    return x if cropped == axis.size else cut(x, [at], [0], [max(cropped, 0)])


def as_rows(x: jax.Array, axis: PoolAxis, at: int, fill: Any) -> jax.Array:
    """Disjoint windows, with their taps on a new axis after ``at``."""
    x = padded(x, axis, at, axis.positions * axis.stride, fill)
    x = x.reshape(*x.shape[:at], axis.positions, axis.stride, *x.shape[at + 1 :])
    return lax.slice_in_dim(x, 0, axis.extent, axis.dilation, axis=at + 1)


def combine_by_doubling(
    state: State, axis: PoolAxis, at: int, combine: Callable[[State, State], State], *, idempotent: bool
) -> State:
    """Combines 1, 2, 4, ... taps from every entry of a padded axis; each window combines some of these.

    If ``idempotent``, a window combines two of these runs, which may overlap. Otherwise it combines runs whose lengths
    add up to its own, so that each tap is combined once. (The difference of two entries of a running sum would be
    shorter, but would lose every digit that both have in common.)

    Args:
        state: a pytree of arrays. Their axis ``at`` is ``axis.span`` long.
        axis: the windows.
        at: the axis.
        combine: an associative operation. Its first argument has the taps that come first.
        idempotent: whether ``combine(a, a)`` is ``a``.
    """

    def part(offset: int, length: int, stride: int = 1) -> State:
        return jax.tree.map(lambda array: cut(array, [at], [offset], [length], stride), state)

    runs = _runs(axis.window, overlapping=idempotent)
    window, length, remaining = None, 1, axis.span
    while True:
        for start in runs.get(length, ()):
            run = part(start * axis.dilation, (axis.positions - 1) * axis.stride + 1, axis.stride)
            window = run if window is None else combine(window, run)
        if length == max(runs):
            assert window is not None
            return window
        shift = length * axis.dilation
        remaining -= shift
        state = combine(part(0, remaining), part(shift, remaining))
        length *= 2


def _runs(window: int, *, overlapping: bool) -> dict[int, list[int]]:
    """The runs of 1, 2, 4, ... taps that make a window: for each length the taps at which one starts."""
    if overlapping:
        longest = 1 << (window.bit_length() - 1)
        return {longest: sorted({0, window - longest})}
    return {1 << bit: [window % (1 << bit)] for bit in range(window.bit_length()) if window >> bit & 1}


def reduce_taps(
    x: jax.Array, axes: PoolPlan, at: int, combine: Callable[[jax.Array, jax.Array], jax.Array], fill: Any
) -> jax.Array:
    """Combines all taps of each window, with ``fill`` outside of the input. Not differentiable where it is long."""
    taps = math.prod(axis.window for axis in axes)
    if taps <= MOST_TAPS or any(axis.before < 0 or axis.after < 0 for axis in axes):
        return over_taps((x,), axes, at, lambda entry, _: entry, combine, jnp.asarray(fill, x.dtype))
    return reduce_by_window(x, axes, at, combine, fill)


def is_one_window(plan: PoolPlan) -> bool:
    """Whether a pool is to be one ``lax.reduce_window``, which other runtimes recognise as a pool."""
    return is_portable() and _has_one_window(plan)


def _has_one_window(plan: PoolPlan) -> bool:
    """Whether one ``lax.reduce_window`` computes the pool."""
    supported = not any(axis.symbolic or axis.before < 0 or axis.after < 0 for axis in plan)
    return supported and not all(axis.trivial for axis in plan)


def by_platform(
    x: jax.Array,
    plan: PoolPlan,
    *,
    one_window: Callable[[jax.Array], jax.Array],
    by_axes: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """A pool by ``one_window`` in portable programs and on TPUs, and by ``by_axes`` elsewhere.

    A TPU computes ``lax.reduce_window`` and its transpose in one pass each, in a fixed order. A slice with strides
    copies the array: a 3x3 maximum with stride 2 over 16 bfloat16 images of 56x56x64 accesses 16 MB and its gradient 93
    MB, by slices 120 and 537 MB (libtpu 0.0.50). With dilated windows ``reduce_window`` has no transpose. The gradient
    of a window that contains NaN is at some entry of it, not always at the first NaN.
    """
    if is_one_window(plan):
        return one_window(x)
    if not _has_one_window(plan) or any(axis.dilation > 1 for axis in plan):
        return by_axes(x)
    return lax.platform_dependent(x, tpu=one_window, default=by_axes)


def reduce_by_window(
    x: jax.Array, axes: PoolPlan, at: int, combine: Callable[[jax.Array, jax.Array], jax.Array], fill: Any
) -> jax.Array:
    """Combines all taps of each window by ``lax.reduce_window``; no padding may be negative."""
    ones, others = (1,) * at, (1,) * (x.ndim - at - len(axes))
    pads = [(axis.before, max(axis.span - axis.before - axis.size, 0)) for axis in axes]
    return lax.reduce_window(
        x,
        np.asarray(fill, x.dtype),
        combine,
        (*ones, *(axis.window for axis in axes), *others),
        (*ones, *(axis.stride for axis in axes), *others),
        [(0, 0) for _ in ones] + pads + [(0, 0) for _ in others],
        window_dilation=(*ones, *(axis.dilation for axis in axes), *others),
    )


def over_taps(
    arrays: Sequence[jax.Array],
    axes: PoolPlan,
    at: int,
    leaf: Callable[..., jax.Array],
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    fill: jax.Array,
    tap: int = 0,
) -> jax.Array:
    """Combines ``leaf(entry, *others, tap)`` over the taps of each window.

    ``entry`` is what the tap reads in the first array; the other arrays hold one value for each window. A tap is left
    out of the windows for which it is outside of the input; where all taps are, the result is ``fill``. Each slice is
    padded alone and used once, so that XLA pads within its loops and writes no padded copy.
    """
    if not axes:
        return leaf(*arrays, tap)
    (axis, *inner), (x, *others) = axes, arrays
    parts = []
    for j in range(axis.window):
        low, high = axis.positions_inside(j)
        if low == high:
            continue
        entry = lax.slice_in_dim(x, axis.entry(low, j), axis.entry(high - 1, j) + 1, axis.stride, axis=at)
        windows = [lax.slice_in_dim(other, low, high, axis=at) for other in others]
        part = over_taps((entry, *windows), tuple(inner), at + 1, leaf, combine, fill, tap * axis.window + j)
        parts.append(_put(part, at, [low], [axis.positions], fill))
    if parts:
        return functools.reduce(combine, parts)
    return jnp.full((*x.shape[:at], *(axis.positions for axis in axes), *x.shape[at + len(axes) :]), fill)


@dataclasses.dataclass(frozen=True)
class _Frame:
    """The windows of one axis, extended before and after by all windows that an entry might be in.

    An axis is split into blocks of ``stride`` entries. A window reads a few neighbouring blocks. Which tap reads an
    entry depends only on the place of the entry in its block and on the offset of the block from the window.
    """

    axis: PoolAxis

    @functools.cached_property
    def blocks(self) -> int:
        """The number of blocks of the input; the last one may be incomplete."""
        return -(-self.axis.size // self.axis.stride)

    @functools.cached_property
    def offsets(self) -> tuple[int, ...]:
        """The offsets of blocks that some window reads: the number of the block minus that of the window."""
        axis = self.axis
        nearest, farthest = -(axis.before // axis.stride) - 1, (axis.extent - 1 - axis.before) // axis.stride
        return tuple(offset for offset in range(nearest, farthest + 1) if self._is_read(offset))

    def _is_read(self, offset: int) -> bool:
        return self.count(offset) > 0 and bool((self.taps(offset) >= 0).any())

    def count(self, offset: int) -> int:
        """The number of windows that have a block at this offset, from ``max(0, -offset)`` on."""
        return min(self.axis.positions, self.blocks - offset) - max(0, -offset)

    def taps(self, offset: int) -> np.ndarray:
        """For each entry of a block at this offset the number of the tap that reads it, or -1."""
        distance = offset * self.axis.stride + np.arange(self.axis.stride) + self.axis.before
        tap, rest = np.divmod(distance, self.axis.dilation)
        return np.where((rest == 0) & (tap >= 0) & (tap < self.axis.window), tap, -1)

    @functools.cached_property
    def start(self) -> int:
        """The place of the first window in the frame."""
        return max((0, *self.offsets))

    @functools.cached_property
    def length(self) -> int:
        """The number of windows of the frame."""
        return self.start + max(self.axis.positions, self.blocks - min((0, *self.offsets)))


def sum_of_taps(x: jax.Array, axes: PoolPlan, at: int, selected: jax.Array | None = None) -> jax.Array:
    """The sum of the entries of all taps of each window, or the entry of the tap whose number is in ``selected``.

    ``selected`` holds ``NO_TAP`` for a window whose result is 0. The function is linear in ``x`` and is written for
    its transpose, in which each entry compares its own tap number with those of the few windows that may read it. The
    windows are padded once to a frame that has all of them. The barriers keep that frame in memory; without them XLA
    tests for the end of the frame in its innermost loop.
    """
    zero, frames = jnp.zeros((), x.dtype), [_Frame(axis) for axis in axes]
    starts, lengths, blocks = ([getattr(f, name) for f in frames] for name in ("start", "length", "blocks"))
    positions = [axis.positions for axis in axes]
    lengths = positions if selected is None else lengths
    spatial, within = range(at, at + len(axes)), [at + 2 * i + 1 for i in range(len(axes))]
    x = _in_blocks(x, frames, at)
    if selected is not None:
        selected = lax.optimization_barrier(_put(selected, at, starts, lengths, NO_TAP))
    total = jnp.zeros((*x.shape[:at], *lengths, *x.shape[at + 2 * len(axes) :]), x.dtype)
    for offsets in itertools.product(*(frame.offsets for frame in frames)):
        taps = _taps_of_block(frames, offsets, at, x.ndim)
        if selected is None:
            part = x if (taps != NO_WINDOW).all() else jnp.where(jnp.asarray(taps != NO_WINDOW), x, zero)
            counts = [frame.count(offset) for frame, offset in zip(frames, offsets, strict=True)]
            part = cut(part.sum(within, dtype=x.dtype), spatial, [max(0, offset) for offset in offsets], counts)
            places = [max(0, -offset) for offset in offsets]
        else:
            places = [frame.start - offset for frame, offset in zip(frames, offsets, strict=True)]
            tap = lax.expand_dims(cut(selected, spatial, places, blocks), within)
            part = jnp.where(tap == jnp.asarray(taps, jnp.uint8), x, zero).sum(within, dtype=x.dtype)
        total += _put(part, at, places, lengths, zero)
    return total if selected is None else cut(lax.optimization_barrier(total), spatial, starts, positions)


def _in_blocks(x: jax.Array, frames: Sequence[_Frame], at: int) -> jax.Array:
    """Each axis as ``(blocks, stride)``, in one reshape for each: XLA does not partition a reshape of several axes."""
    for frame in frames:
        stride = frame.axis.stride
        x = _put(end_cropped(x, frame.axis, at), at, [0], [frame.blocks * stride], 0)
        x = x.reshape(*x.shape[:at], frame.blocks, stride, *x.shape[at + 1 :])
        at += 2
    return x


def _taps_of_block(frames: Sequence[_Frame], offsets: Sequence[int], at: int, ndim: int) -> np.ndarray:
    """For each entry of a block of all axes the number of the tap that reads it, in the shape of blocks from ``at``."""
    number = np.zeros((), int)
    for frame, offset in zip(frames, offsets, strict=True):
        taps = frame.taps(offset)
        number = np.where((number[..., None] < 0) | (taps < 0), -1, number[..., None] * frame.axis.window + taps)
    shape = [1] * ndim
    shape[at + 1 : at + 2 * len(frames) : 2] = [frame.axis.stride for frame in frames]
    return np.where(number < 0, NO_WINDOW, number).reshape(shape)
