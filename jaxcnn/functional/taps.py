"""The few taps of a window, all spatial axes at once: what they read, combined, and what is linear in it.

Two things make these loops fast on CPUs. Every slice is padded by itself and used once, so that XLA computes paddings
within its loops and writes no padded copy. And a derivative is written the way its transpose is to run: the backward
pass of a strided slice would write every so many entries, that of a split into blocks is one dense loop.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import PoolAxis, PoolPlan
from jaxcnn.functional.windows import LONGEST_CHAIN, end_cropped

# Neighbouring axes whose windows have together no more taps than this are reduced at once, others one by one;
# windows that lie apart may have more, since there an entry is read by one tap only.
MOST_TAPS, MOST_TAPS_APART = 9, 64

# Taps are numbered from 0. A window without an entry of the input has the first of these instead of a tap, an entry
# that no tap reads asks for the second one; they are never equal.
NO_TAP, NO_WINDOW = 255, 254


def passes(plan: PoolPlan) -> list[tuple[int, int]]:
    """Which neighbouring axes to reduce at once, as ``(start, stop)``, the last ones first; trivial ones in none."""
    groups, stop = [], len(plan)
    while stop:
        start = stop - 1
        while start and _few(plan[start - 1 : stop]):
            start -= 1
        if not all(axis.trivial for axis in plan[start:stop]):
            groups.append((start, stop))
        stop = start
    return groups


def _few(plan: PoolPlan) -> bool:
    """Whether these axes are to be reduced at once."""
    taps = math.prod(axis.window for axis in plan)
    return taps <= (MOST_TAPS_APART if all(axis.apart for axis in plan) else MOST_TAPS)


def by_taps(plan: PoolPlan, start: int, stop: int) -> PoolPlan | None:
    """The plan of one pass, in which later axes are reduced already; None for one axis of many taps."""
    if stop - start == 1 and not _few(plan[start:stop]) and plan[start].window > LONGEST_CHAIN:
        return None
    return (*plan[start:stop], *(_unchanged(axis.positions) for axis in plan[stop:]))


def _unchanged(size: int) -> PoolAxis:
    """An axis that is not reduced."""
    return PoolAxis(size=size, window=1, stride=1, dilation=1, before=0, after=0, positions=size)


def reduce_taps(
    x: jax.Array, plan: PoolPlan, combine: Callable[[jax.Array, jax.Array], jax.Array], fill: Any
) -> jax.Array:
    """All taps of each window combined; ``fill`` lies outside. Not to be differentiated."""
    fill = jnp.asarray(fill, x.dtype)
    pads = [(axis.before, axis.span - axis.before - axis.size) for axis in plan]
    if math.prod(axis.window for axis in plan) <= MOST_TAPS or any(axis.before < 0 or axis.after < 0 for axis in plan):
        return over_taps((x,), plan, lambda entry, _: entry, combine, fill)
    ones = (1,) * (x.ndim - 1 - len(plan))
    return lax.reduce_window(
        x,
        fill,
        combine,
        (*ones, *(axis.window for axis in plan), 1),
        (*ones, *(axis.stride for axis in plan), 1),
        [(0, 0) for _ in ones] + [(before, max(after, 0)) for before, after in pads] + [(0, 0)],
        window_dilation=(*ones, *(axis.dilation for axis in plan), 1),
    )


def over_taps(
    arrays: Sequence[jax.Array],
    plan: PoolPlan,
    leaf: Callable[..., jax.Array],
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    fill: jax.Array,
    tap: int = 0,
) -> jax.Array:
    """``leaf`` of what each tap reads in the first array and of the others at its windows, combined over all taps.

    Axis within axis. A tap is left out of the windows for which it lies outside; where all are, ``fill`` remains.
    """
    if not plan:
        return leaf(*arrays, tap)
    (axis, *inner), (x, *others) = plan, arrays
    at = x.ndim - 1 - len(plan)
    parts = []
    for j in range(axis.window):
        inside = axis.inside(j)
        if not any(inside):
            continue
        low = inside.index(True)
        high = low + sum(inside)
        read = lax.slice_in_dim(x, axis.entry(low, j), axis.entry(high - 1, j) + 1, axis.stride, axis=at)
        seen = [read, *(lax.slice_in_dim(other, low, high, axis=at) for other in others)]
        part = over_taps(seen, tuple(inner), leaf, combine, fill, tap * axis.window + j)
        parts.append(_put(part, at, [low], [axis.positions], fill))
    if parts:
        return functools.reduce(combine, parts)
    return jnp.full((*x.shape[:at], *(axis.positions for axis in plan), x.shape[-1]), fill)


@dataclasses.dataclass(frozen=True)
class _Frame:
    """The windows of one axis, and those that would stand beside them: all that some entry might be read by.

    An axis is split into blocks of ``stride`` entries. A window then reads a few neighbouring blocks, and which tap
    reads an entry depends only on the place of the entry in its block and on how far the block is from the window.
    """

    axis: PoolAxis

    @functools.cached_property
    def blocks(self) -> int:
        """Into how many blocks of ``stride`` entries the input is split; the last one may be incomplete."""
        return -(-self.axis.size // self.axis.stride)

    @functools.cached_property
    def away(self) -> tuple[int, ...]:
        """How far the blocks are that some window reads, as the number of the block less that of the window."""
        axis = self.axis
        nearest, farthest = -(axis.before // axis.stride) - 1, (axis.last - axis.before) // axis.stride
        return tuple(away for away in range(nearest, farthest + 1) if self._is_read(away))

    def _is_read(self, away: int) -> bool:
        return self.count(away) > 0 and bool((self.taps(away) >= 0).any())

    def count(self, away: int) -> int:
        """How many windows have a block that is so far away, from ``max(0, -away)`` on."""
        return min(self.axis.positions, self.blocks - away) - max(0, -away)

    def taps(self, away: int) -> np.ndarray:
        """For each entry of a block so far away the number of the tap that reads it, or -1."""
        offset = away * self.axis.stride + np.arange(self.axis.stride) + self.axis.before
        tap, rest = np.divmod(offset, self.axis.dilation)
        return np.where((rest == 0) & (tap >= 0) & (tap < self.axis.window), tap, -1)

    @functools.cached_property
    def start(self) -> int:
        """Where the first window stands in the frame."""
        return max((0, *self.away))

    @functools.cached_property
    def length(self) -> int:
        """Of the whole frame."""
        return self.start + max(self.axis.positions, self.blocks - min((0, *self.away)))


def add_taps(x: jax.Array, plan: PoolPlan) -> jax.Array:
    """What ``x`` holds at all taps of each window. Linear in ``x``, and made for its transpose: no strided write."""
    zero, (first, spatial, within), frames = jnp.zeros((), x.dtype), _axes(x, plan), [_Frame(axis) for axis in plan]
    positions = [axis.positions for axis in plan]
    x = _in_blocks(x, plan)
    total = jnp.zeros((*x.shape[:first], *positions, x.shape[-1]), x.dtype)
    for aways in itertools.product(*(frame.away for frame in frames)):
        read = _taps_of_block(frames, aways, x.ndim - len(plan)) != NO_WINDOW
        part = (x if read.all() else jnp.where(jnp.asarray(read), x, zero)).sum(within, dtype=x.dtype)
        counts = [frame.count(away) for frame, away in zip(frames, aways, strict=True)]
        part = _cut(part, spatial, [max(0, away) for away in aways], counts)
        total += _put(part, first, [max(0, -away) for away in aways], positions, zero)
    return total


def add_told_taps(x: jax.Array, plan: PoolPlan, told: jax.Array) -> jax.Array:
    """What ``x`` holds at the tap told for each window, 0 for ``NO_TAP``. Linear in ``x``, and made for its transpose.

    There each entry compares its own number with those of the few windows that may read it. They are padded once, to
    a frame that has all of those, and kept so, or XLA would look in its innermost loop whether there is a window.
    """
    zero, (first, spatial, within), frames = jnp.zeros((), x.dtype), _axes(x, plan), [_Frame(axis) for axis in plan]
    starts, lengths, blocks = ([getattr(f, name) for f in frames] for name in ("start", "length", "blocks"))
    x = _in_blocks(x, plan)
    told = lax.optimization_barrier(_put(told, first, starts, lengths, jnp.uint8(NO_TAP)))
    total = jnp.zeros((*x.shape[:first], *lengths, x.shape[-1]), x.dtype)
    for aways in itertools.product(*(frame.away for frame in frames)):
        places = [frame.start - away for frame, away in zip(frames, aways, strict=True)]
        number = lax.expand_dims(_cut(told, spatial, places, blocks), within)
        wanted = jnp.asarray(_taps_of_block(frames, aways, x.ndim - len(plan)), jnp.uint8)
        part = jnp.where(number == wanted, x, zero).sum(within, dtype=x.dtype)
        total += _put(part, first, places, lengths, zero)
    return _cut(lax.optimization_barrier(total), spatial, starts, [axis.positions for axis in plan])


def _axes(x: jax.Array, plan: PoolPlan) -> tuple[int, range, list[int]]:
    """The first spatial axis, all of them, and where they stand within their blocks after ``_in_blocks``."""
    first = x.ndim - 1 - len(plan)
    return first, range(first, first + len(plan)), [first + 2 * i + 1 for i in range(len(plan))]


def _cut(x: jax.Array, axes: Sequence[int], starts: Sequence[int], lengths: Sequence[int]) -> jax.Array:
    """A part of some axes, all in one slice, whose transpose is one padding that XLA merges with what follows."""
    start, stop = [0] * x.ndim, list(x.shape)
    for at, begin, length in zip(axes, starts, lengths, strict=True):
        start[at], stop[at] = begin, begin + length
    return lax.slice(x, start, stop)


def _put(x: jax.Array, first: int, starts: Sequence[int], lengths: Sequence[int], fill: jax.Array) -> jax.Array:
    """The axes from ``first`` on made longer, with ``fill`` about what there is of them, all in one padding."""
    config = [(0, 0, 0)] * x.ndim
    for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        config[first + i] = (start, length - start - x.shape[first + i], 0)
    return x if all(pads == (0, 0, 0) for pads in config) else lax.pad(x, fill, config)


def _in_blocks(x: jax.Array, plan: PoolPlan) -> jax.Array:
    """Each axis as ``(blocks, stride)``, one reshape for each: more at once a sharded array does not follow."""
    at = x.ndim - 1 - len(plan)
    for axis in plan:
        blocks = _Frame(axis).blocks
        x = end_cropped(x, axis, at)  # or a window that hangs over would read it
        x = _put(x, at, [0], [blocks * axis.stride], jnp.zeros((), x.dtype))
        x = x.reshape(*x.shape[:at], blocks, axis.stride, *x.shape[at + 1 :])
        at += 2
    return x


def _taps_of_block(frames: Sequence[_Frame], aways: Sequence[int], ndim: int) -> np.ndarray:
    """For each entry of a block of all axes the number of the tap that reads it, shaped as the blocks are."""
    number = np.zeros((), int)
    for frame, away in zip(frames, aways, strict=True):
        taps = frame.taps(away)
        number = np.where((number[..., None] < 0) | (taps < 0), -1, number[..., None] * frame.axis.window + taps)
    split = [length for frame in frames for length in (1, frame.axis.stride)]
    shape = (1,) * (ndim - 1 - len(frames)) + tuple(split) + (1,)
    return np.where(number < 0, NO_WINDOW, number).reshape(shape)
