"""The selection of non-maximum suppression: all pairs of boxes of a short list at once, a longer list block by block.

Greedy suppression is the only fixed point of ``selected[j] = exists[j] and not any of (selected[i] and
overlaps[i, j])`` over the boxes ``i`` before ``j``. It is found by iteration, starting with all boxes; the number of
rounds is the length of the longest chain of boxes that drop each other.
"""

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._portable import is_portable
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional._boxes import Corners, corners, shared_and_union
from jaxcnn.functional._varying import filled_like, varying_like

Tree = TypeVar("Tree")

BLOCK = 256  # boxes that are compared at once
LONGEST = 4096  # boxes of which all pairs are compared at once in portable programs

Selection = tuple[jax.Array, jax.Array]


class _Boxes(NamedTuple):
    """Boxes of one list: an array for each coordinate, whose entries are contiguous."""

    corners: Corners
    classes: jax.Array


class _State(NamedTuple):
    """The selection from the blocks before ``block``: the number of selected boxes, these boxes, and their indices."""

    block: jax.Array
    number: jax.Array
    selected: _Boxes
    indices: jax.Array


def select(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, threshold: float, *, max_output: int
) -> Selection:
    """Indices of the selected boxes of each list by descending score, and which of the indices are valid.

    Args:
        boxes: ``(*batch, n, 4)``.
        scores: ``(*batch, n)``.
        classes: ``(*batch, n)``; only boxes of one class drop each other.
        exists: ``(*batch, n)``; False for padding.
        threshold: boxes with a greater overlap are dropped.
        max_output: number of indices.
    """
    length, wide = scores.shape[-1], accumulator_dtype(boxes.dtype)
    wide = wide if jnp.issubdtype(wide, jnp.floating) else jnp.dtype("float32")
    # Other runtimes have no loops with slices in them.
    at_once = is_symbolic(length) or length <= (LONGEST if is_portable() else BLOCK)
    apply = _select_at_once if at_once else _select_in_blocks
    return apply(boxes.astype(wide), scores, classes, exists, threshold, max_output=max_output)


def _select_at_once(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, threshold: float, *, max_output: int
) -> Selection:
    prepare = functools.partial(_overlaps_by_score, threshold=threshold)
    finish = functools.partial(_first, max_output=max_output)
    for _ in range(scores.ndim - 1):  # one example at a time: a sharded batch axis stays sharded
        prepare, finish = jax.vmap(prepare), jax.vmap(finish)
    order, overlaps, present = prepare(boxes, scores, classes, exists)
    # One loop for the whole batch, which ends when no list changes.
    return finish(order, _fixed_point(present, overlaps, (boxes, scores, classes, exists)))


def _select_in_blocks(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, threshold: float, *, max_output: int
) -> Selection:
    """Blocks by descending score: boxes that overlap a selected box of an earlier block are dropped first.

    The selected boxes are compared block by block too, so that the work is proportional to their number. The loop ends
    with the block in which every list has reached the number of outputs, or has no more boxes. All lists of the batch
    are at the same block, so that a sharded batch axis stays sharded.
    """
    inputs, arrange, put = (boxes, scores, classes, exists), _arranged, _put
    overlaps = functools.partial(_overlaps, threshold=threshold)
    drops = functools.partial(_drops, threshold=threshold)
    for _ in range(scores.ndim - 1):
        arrange, put = jax.vmap(arrange), jax.vmap(put)
        overlaps, drops = jax.vmap(overlaps), jax.vmap(drops)
    ordered, places, present = arrange(*inputs)
    blocks, room = present.shape[-1] // BLOCK, max(-(-min(max_output, scores.shape[-1]) // BLOCK), 1) * BLOCK

    def filled(each: jax.Array, length: int) -> jax.Array:
        return jnp.broadcast_to(filled_like(each[..., :1], 0, each.dtype), (*each.shape[:-1], length))

    # Boxes of zeros have no area and drop no box.
    nothing = jax.tree.map(lambda each: filled(each, room), ordered)
    start = _State(jnp.int32(0), filled_like(places[..., 0], 0, jnp.int32), nothing, filled(places, max_output) - 1)

    def unfinished(state: _State) -> jax.Array:
        first = lax.dynamic_index_in_dim(present, jnp.minimum(state.block, blocks - 1) * BLOCK, -1, keepdims=False)
        return (state.block < blocks) & ((state.number < max_output) & first).any()

    def step(state: _State) -> _State:
        these, own_places, exist = _block((ordered, places, present), state.block)

        def drop(block: jax.Array, free: jax.Array) -> jax.Array:
            return free & ~overlaps(_block(state.selected, block), these).any(-2)

        longest = -(-jnp.max(state.number, initial=0) // BLOCK)
        free = lax.fori_loop(0, longest, drop, varying_like(exist, *inputs))
        kept = _fixed_point(free, drops(these), inputs)
        place = state.number[..., None] + jnp.cumsum(kept, -1, dtype=jnp.int32) - 1
        place = jnp.where(kept, place, max(room, max_output))
        return _State(
            state.block + 1,
            jnp.minimum(state.number + kept.sum(-1, dtype=jnp.int32), max_output),
            jax.tree.map(lambda each, new: put(each, place, new), state.selected, these),
            put(state.indices, place, own_places),
        )

    indices = lax.while_loop(unfinished, step, varying_like(start, *inputs)).indices
    return indices, indices >= 0


def _arranged(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array
) -> tuple[_Boxes, jax.Array, jax.Array]:
    """One list by descending score, padding last, in whole blocks: the boxes, their indices, and which exist."""
    order = _by_score(scores)
    order = order[jnp.argsort(~exists[order], stable=True)].astype(jnp.int32)

    def padded(each: jax.Array) -> jax.Array:
        return jnp.pad(each, (0, -len(scores) % BLOCK))

    ordered = _Boxes(corners(boxes[order]), classes[order])
    return jax.tree.map(padded, ordered), padded(order), padded(exists[order])


def _put(array: jax.Array, place: jax.Array, new: jax.Array) -> jax.Array:
    """The array with new entries at some places; places after the end are left out."""
    return array.at[place].set(new, mode="drop")


def _block(arrays: Tree, block: jax.Array) -> Tree:
    return jax.tree.map(lambda each: lax.dynamic_slice_in_dim(each, block * BLOCK, BLOCK, axis=-1), arrays)


def _fixed_point(present: jax.Array, overlaps: jax.Array, inputs: tuple[jax.Array, ...]) -> jax.Array:
    """The selected boxes, in the order of score."""

    def kept(selected: jax.Array) -> jax.Array:
        return present & ~(overlaps & selected[..., :, None]).any(-2)

    selected, _ = lax.while_loop(
        lambda state: (state[0] != state[1]).any(),
        lambda state: (kept(state[0]), state[0]),
        varying_like((kept(present), present), *inputs),
    )
    return selected


def _overlaps_by_score(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, *, threshold: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For one list, by descending score: the order, whether a box drops a later one, and whether a box exists."""
    order = _by_score(scores)
    ordered = _Boxes(corners(boxes[order]), classes[order])
    return order, _drops(ordered, threshold), exists[order]


def _by_score(scores: jax.Array) -> jax.Array:
    """The order of descending scores; equal scores keep their order, and NaN comes last."""
    order = jnp.argsort(scores, descending=True, stable=True)  # NaN would come first
    return order[jnp.argsort(jnp.isnan(scores[order]), stable=True)]


def _overlaps(one: _Boxes, two: _Boxes, threshold: float) -> jax.Array:
    """Whether each box of one list overlaps each box of the same class of another by more than the threshold."""
    shared, union = shared_and_union(one.corners, two.corners)
    above = shared / jnp.where(union > 0, union, 1) > _rounded_down(threshold, shared.dtype)
    return above & (one.classes[:, None] == two.classes[None, :])


def _drops(boxes: _Boxes, threshold: float) -> jax.Array:
    """Whether a box would drop another one, which comes later in the list."""
    place = jnp.arange(boxes.classes.shape[-1])
    return _overlaps(boxes, boxes, threshold) & (place[:, None] < place[None, :])


def _first(order: jax.Array, selected: jax.Array, *, max_output: int) -> Selection:
    """For one list: the indices of the first selected boxes, and which of the indices are valid."""
    place = jnp.where(selected, jnp.cumsum(selected, dtype=jnp.int32) - 1, max_output)
    indices = jnp.full(max_output, -1, jnp.int32).at[place].set(order.astype(jnp.int32), mode="drop")
    return indices, indices >= 0


def _rounded_down(threshold: float, dtype: np.dtype) -> np.ndarray:
    """The largest number of a dtype that is at most the threshold: ``iou > threshold`` is exact then."""
    near = np.asarray(threshold, dtype)
    return near if float(near) <= threshold else np.nextafter(near, np.asarray(0, dtype))
