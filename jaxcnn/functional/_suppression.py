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
from jaxcnn.functional._varying import varying_like

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
    with the block in which the number of outputs is reached, or that has no box.
    """
    each = functools.partial(_select_of_list, threshold=threshold, max_output=max_output)
    for _ in range(scores.ndim - 1):
        each = jax.vmap(each)
    return each(boxes, scores, classes, exists)


def _select_of_list(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, *, threshold: float, max_output: int
) -> Selection:
    inputs, order = (boxes, scores, classes, exists), _by_score(scores)
    order = order[jnp.argsort(~exists[order], stable=True)]
    padding = -len(scores) % BLOCK

    def arranged(each: jax.Array) -> jax.Array:
        return jnp.pad(each[order], (0, padding))

    ordered = _Boxes(jax.tree.map(arranged, corners(boxes)), arranged(classes))
    places, present = jnp.pad(order.astype(jnp.int32), (0, padding)), arranged(exists)
    blocks, room = len(present) // BLOCK, max(-(-min(max_output, len(scores)) // BLOCK), 1) * BLOCK
    # Boxes of zeros have no area and drop no box.
    nothing = jax.tree.map(lambda each: jnp.zeros(room, each.dtype), ordered)
    indices = jnp.full(max_output, -1, jnp.int32)

    def unfinished(state: _State) -> jax.Array:
        first = present[jnp.minimum(state.block, blocks - 1) * BLOCK]
        return (state.block < blocks) & (state.number < max_output) & first

    def step(state: _State) -> _State:
        these, own_places, exist = _block((ordered, places, present), state.block)

        def drop(block: jax.Array, free: jax.Array) -> jax.Array:
            return free & ~_overlaps(_block(state.selected, block), these, threshold).any(0)

        free = lax.fori_loop(0, -(-state.number // BLOCK), drop, varying_like(exist, *inputs))
        kept = _fixed_point(free, _overlaps(these, these, threshold) & _is_later(BLOCK), inputs)
        place = jnp.where(kept, state.number + jnp.cumsum(kept, dtype=jnp.int32) - 1, max(room, max_output))
        return _State(
            state.block + 1,
            jnp.minimum(state.number + kept.sum(dtype=jnp.int32), max_output),
            jax.tree.map(lambda each, new: each.at[place].set(new, mode="drop"), state.selected, these),
            state.indices.at[place].set(own_places, mode="drop"),
        )

    start = varying_like(_State(jnp.int32(0), jnp.int32(0), nothing, indices), *inputs)
    indices = lax.while_loop(unfinished, step, start).indices
    return indices, indices >= 0


def _block(arrays: Tree, block: jax.Array) -> Tree:
    return jax.tree.map(lambda each: lax.dynamic_slice_in_dim(each, block * BLOCK, BLOCK), arrays)


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
    return order, _overlaps(ordered, ordered, threshold) & _is_later(len(scores)), exists[order]


def _by_score(scores: jax.Array) -> jax.Array:
    """The order of descending scores; equal scores keep their order, and NaN comes last."""
    order = jnp.argsort(scores, descending=True, stable=True)  # NaN would come first
    return order[jnp.argsort(jnp.isnan(scores[order]), stable=True)]


def _overlaps(one: _Boxes, two: _Boxes, threshold: float) -> jax.Array:
    """Whether each box of one list overlaps each box of the same class of another by more than the threshold."""
    shared, union = shared_and_union(one.corners, two.corners)
    above = shared / jnp.where(union > 0, union, 1) > _rounded_down(threshold, shared.dtype)
    return above & (one.classes[:, None] == two.classes[None, :])


def _is_later(length: int) -> jax.Array:
    """Whether place ``j`` comes after place ``i``, ``(length, length)``."""
    place = jnp.arange(length)
    return place[:, None] < place[None, :]


def _first(order: jax.Array, selected: jax.Array, *, max_output: int) -> Selection:
    """For one list: the indices of the first selected boxes, and which of the indices are valid."""
    place = jnp.where(selected, jnp.cumsum(selected, dtype=jnp.int32) - 1, max_output)
    indices = jnp.full(max_output, -1, jnp.int32).at[place].set(order.astype(jnp.int32), mode="drop")
    return indices, indices >= 0


def _rounded_down(threshold: float, dtype: np.dtype) -> np.ndarray:
    """The largest number of a dtype that is at most the threshold: ``iou > threshold`` is exact then."""
    near = np.asarray(threshold, dtype)
    return near if float(near) <= threshold else np.nextafter(near, np.asarray(0, dtype))
