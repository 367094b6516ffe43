"""From scores and encoded boxes to a fixed number of boxes: proposals of anchors, detections of regions."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional import clip_boxes, decode_boxes, nms

Boxes = dict[str, jax.Array]
Four = tuple[float, float, float, float]

# The least side of a proposal and of a detection in pixels; smaller boxes are left out.
SMALLEST_PROPOSAL, SMALLEST_DETECTION = 1e-3, 1e-2


def propose(
    logits: Sequence[jax.Array],
    deltas: Sequence[jax.Array],
    anchors: Sequence[jax.Array],
    image_sizes: jax.Array,
    *,
    candidates: int,
    count: int,
    nms_threshold: float,
) -> Boxes:
    """The proposals of each image: the best boxes of each map, without those that overlap a better box of their map.

    Args:
        logits: of each map ``(batch, anchors)``.
        deltas: of each map ``(batch, anchors, 4)``.
        anchors: of each map ``(anchors, 4)``.
        image_sizes: ``(batch, 2)``, heights and widths; boxes are clipped to them.
        candidates: the largest number of boxes of a map that are compared.
        count: the largest number of proposals of an image.
        nms_threshold: greater overlaps drop the box of the lower score.

    Returns:
        ``boxes`` ``(batch, count, 4)``, ``scores`` and ``mask``, ``(batch, count)``, by descending score; zeros where
        the mask is False. ``count`` is smaller where the maps have fewer candidates. Without gradient.
    """
    found = []
    for level, (scores, encoded, reference) in enumerate(zip(logits, deltas, anchors, strict=True)):
        best, index = lax.top_k(lax.stop_gradient(scores), min(candidates, scores.shape[-1]))
        moved = jnp.take_along_axis(lax.stop_gradient(encoded), index[..., None], 1)
        boxes = clip_boxes(decode_boxes(moved, reference[index]), image_sizes)
        found.append((boxes, jax.nn.sigmoid(best), jnp.full_like(index, level)))
    boxes, scores, levels = (jnp.concatenate(each, 1) for each in zip(*found, strict=True))
    index, mask = nms(
        boxes,
        scores,
        classes=levels,
        mask=_has_sides(boxes, SMALLEST_PROPOSAL),
        iou_threshold=nms_threshold,
        max_output=min(count, scores.shape[-1]),
    )
    return _gathered({"boxes": boxes, "scores": scores}, index, mask)


def detect(
    logits: jax.Array,
    deltas: jax.Array,
    proposals: jax.Array,
    exists: jax.Array,
    image_sizes: jax.Array,
    *,
    weights: Four,
    score_threshold: float,
    nms_threshold: float,
    count: int,
) -> Boxes:
    """The detections of each image: the best boxes, without those that overlap a better box of the same class.

    Args:
        logits: ``(batch, n, classes)``; class 0 is the background.
        deltas: ``(batch, n, classes, 4)``, boxes relative to the proposals.
        proposals: ``(batch, n, 4)``.
        exists: booleans ``(batch, n)``, False for padding.
        image_sizes: ``(batch, 2)``, heights and widths; boxes are clipped to them.
        weights: of the encoded boxes.
        score_threshold: boxes without a greater probability are left out.
        nms_threshold: greater overlaps drop the box of the lower score.
        count: the largest number of detections of an image.

    Returns:
        ``boxes`` ``(batch, count, 4)``, ``labels``, ``scores`` and ``mask``, ``(batch, count)``, by descending score;
        zeros where the mask is False.
    """
    batch, number, classes = logits.shape
    scores = jax.nn.softmax(logits)[..., 1:]
    shape = (batch, number, classes - 1, 4)
    reference = jnp.broadcast_to(proposals[:, :, None], shape)
    boxes = clip_boxes(decode_boxes(deltas[:, :, 1:], reference, weights=weights), image_sizes)
    counts = (scores > score_threshold) & exists[..., None] & _has_sides(boxes, SMALLEST_DETECTION)
    labels = jnp.broadcast_to(jnp.arange(1, classes, dtype=jnp.int32), shape[:-1])
    flat = {
        "boxes": boxes.reshape(batch, -1, 4),
        "labels": labels.reshape(batch, -1),
        "scores": scores.reshape(batch, -1),
    }
    index, mask = nms(
        flat["boxes"],
        flat["scores"],
        classes=flat["labels"],
        mask=counts.reshape(batch, -1),
        iou_threshold=nms_threshold,
        max_output=count,
    )
    return _gathered(flat, index, mask)


def _has_sides(boxes: jax.Array, side: float) -> jax.Array:
    """Whether both sides of each box are at least ``side``."""
    return (boxes[..., 2:] - boxes[..., :2] >= side).all(-1)


def _gathered(arrays: Boxes, index: jax.Array, mask: jax.Array) -> Boxes:
    """The entries of each image at ``index``, with zeros where the mask is False, and the mask."""
    found = {}
    for name, array in arrays.items():
        more = (1,) * (array.ndim - 2)
        taken = jnp.take_along_axis(array, jnp.maximum(index, 0).reshape(*index.shape, *more), 1)
        found[name] = jnp.where(mask.reshape(*mask.shape, *more), taken, jnp.zeros_like(taken))
    return {**found, "mask": mask}
