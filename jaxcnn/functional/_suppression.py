"""The selection of non-maximum suppression, for lists that are short enough for all pairs of boxes and for long ones.

Greedy suppression is the only fixed point of ``selected[j] = exists[j] and not any of (selected[i] and
overlaps[i, j])`` over the boxes ``i`` before ``j``. It is found by iterating from all boxes, in as many rounds as the
longest chain of boxes that drop each other.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional._boxes import shared_and_union
from jaxcnn.functional._varying import varying_like

LONGEST = 4096  # boxes of which all pairs are compared at once
BLOCK = 1024  # boxes of a longer list that are compared at once

Selection = tuple[jax.Array, jax.Array]
# Of a long list: the next block, the number of selected boxes, these boxes, their classes and their indices.
State = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def select(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, threshold: float, *, max_output: int
) -> Selection:
    """Indices of the selected boxes of each list by descending score, and which of them there are.

    Args:
        boxes: ``(*batch, n, 4)``.
        scores: ``(*batch, n)``.
        classes: ``(*batch, n)``; only boxes of one class drop each other.
        exists: ``(*batch, n)``; False for padding.
        threshold: boxes with a greater overlap are dropped.
        max_output: number of indices.
    """
    length = scores.shape[-1]
    long = not is_symbolic(length) and length > LONGEST
    return (_select_in_blocks if long else _select_at_once)(
        boxes, scores, classes, exists, threshold, max_output=max_output
    )


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
    """Blocks by descending score: what a selected box of an earlier block overlaps is dropped before the block's own.

    The loop ends with the block in which the number of outputs is reached, or that has no box, so only the first few
    blocks of a long list are compared.
    """
    each = functools.partial(_select_of_list, threshold=threshold, max_output=max_output)
    for _ in range(scores.ndim - 1):
        each = jax.vmap(each)
    return each(boxes, scores, classes, exists)


def _select_of_list(
    boxes: jax.Array, scores: jax.Array, classes: jax.Array, exists: jax.Array, *, threshold: float, max_output: int
) -> Selection:
    order = _by_score(scores)
    order = order[jnp.argsort(~exists[order], stable=True)]
    padding = -len(scores) % BLOCK
    ordered = [jnp.pad(each[order], ((0, padding), *[(0, 0)] * (each.ndim - 1))) for each in (boxes, classes, exists)]
    blocks = len(ordered[2]) // BLOCK
    chosen = jnp.zeros((max_output, 4), boxes.dtype), jnp.zeros(max_output, classes.dtype)
    start: State = (jnp.int32(0), jnp.int32(0), *chosen, jnp.full(max_output, -1, jnp.int32))
    order = jnp.pad(order, (0, padding)).astype(jnp.int32)

    def unfinished(state: State) -> jax.Array:
        block, count, *_ = state
        first = ordered[2][jnp.minimum(block, blocks - 1) * BLOCK]
        return (block < blocks) & (count < max_output) & first

    def step(state: State) -> State:
        block, count, earlier, earlier_classes, indices = state
        these, kinds, present = (lax.dynamic_slice_in_dim(each, block * BLOCK, BLOCK) for each in ordered)
        taken = (jnp.arange(max_output) < count)[:, None] & (earlier_classes[:, None] == kinds[None, :])
        free = present & ~(_overlap(earlier, these, threshold) & taken).any(0)
        overlaps = _overlap(these, these, threshold) & _is_later(BLOCK) & (kinds[:, None] == kinds[None, :])
        kept = _fixed_point(free, overlaps, (boxes, scores, classes, exists))
        place = jnp.where(kept, count + jnp.cumsum(kept, dtype=jnp.int32) - 1, max_output)
        return (
            block + 1,
            jnp.minimum(count + kept.sum(dtype=jnp.int32), max_output),
            earlier.at[place].set(these, mode="drop"),
            earlier_classes.at[place].set(kinds, mode="drop"),
            indices.at[place].set(lax.dynamic_slice_in_dim(order, block * BLOCK, BLOCK), mode="drop"),
        )

    start = varying_like(start, boxes, scores, classes, exists)
    indices = lax.while_loop(unfinished, step, start)[-1]
    return indices, indices >= 0


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
    """Of one list, by descending score: the order, whether a box drops a later one, and whether a box exists."""
    order = _by_score(scores)
    kinds, sorted_boxes = classes[order], boxes[order]
    above = _overlap(sorted_boxes, sorted_boxes, threshold)
    return order, above & _is_later(len(scores)) & (kinds[:, None] == kinds[None, :]), exists[order]


def _by_score(scores: jax.Array) -> jax.Array:
    """The order of descending scores; of equal ones the first comes first, and NaN comes last."""
    order = jnp.argsort(scores, descending=True, stable=True)  # NaN would come first
    return order[jnp.argsort(jnp.isnan(scores[order]), stable=True)]


def _overlap(one: jax.Array, two: jax.Array, threshold: float) -> jax.Array:
    """Whether each box of one list overlaps each of another by more than the threshold."""
    wide = accumulator_dtype(one.dtype)
    wide = wide if jnp.issubdtype(wide, jnp.floating) else jnp.dtype("float32")
    shared, union = shared_and_union(one.astype(wide), two.astype(wide))
    return shared / jnp.where(union > 0, union, 1) > _rounded_down(threshold, wide)


def _is_later(length: int) -> jax.Array:
    """Whether place ``j`` comes after place ``i``, ``(length, length)``."""
    place = jnp.arange(length)
    return place[:, None] < place[None, :]


def _first(order: jax.Array, selected: jax.Array, *, max_output: int) -> Selection:
    """Of one list: the indices of the first selected boxes, and which of them there are."""
    place = jnp.where(selected, jnp.cumsum(selected, dtype=jnp.int32) - 1, max_output)
    indices = jnp.full(max_output, -1, jnp.int32).at[place].set(order.astype(jnp.int32), mode="drop")
    return indices, indices >= 0


def _rounded_down(threshold: float, dtype: np.dtype) -> np.ndarray:
    """The largest number of a dtype that is at most the threshold: ``iou > threshold`` is exact then."""
    near = np.asarray(threshold, dtype)
    return near if float(near) <= threshold else np.nextafter(near, np.asarray(0, dtype))
