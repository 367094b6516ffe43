"""Targets of anchors and regions in training: their matches with true boxes, and the random samples for the losses.

All functions are for one image. Shapes are static: a sample has a fixed length, and entries with a weight of 1 or 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional import box_iou

NEGATIVE, IGNORED = -1, -2


class Sample(NamedTuple):
    """A fixed number of anchors or regions of an image.

    Attributes:
        place: ``(n,)``, the index of each entry among all anchors or regions.
        weight: ``(n,)``, 1, or 0 for padding.
        label: ``(n,)``, the class of each entry, 0 for the background.
        box: ``(n, 4)``, the true box with which each entry is matched.
    """

    place: jax.Array
    weight: jax.Array
    label: jax.Array
    box: jax.Array


def valid_boxes(boxes: jax.Array, mask: jax.Array) -> jax.Array:
    """The mask without boxes whose width or height is not positive."""
    return mask & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def match(
    overlaps: jax.Array, exists: jax.Array, candidate: jax.Array, *, low: float, high: float, best_too: bool
) -> jax.Array:
    """The box with which each candidate is matched: the box of highest overlap, if this overlap is at least ``high``.

    With ``best_too``, the candidates that have the highest overlap with some box, ties included, are matched too, each
    with the box that it overlaps most. A box that no candidate overlaps has no such candidates; torchvision matches
    every candidate of overlap 0 in this case.

    Args:
        overlaps: ``(boxes, candidates)``.
        exists: booleans ``(boxes,)``, False for padding; all False for an image without boxes.
        candidate: ``(candidates,)``; those that are False are ignored.
        low: below this overlap a candidate is negative.
        high: from ``low`` to this overlap it is ignored.
        best_too: whether the best candidates of a box are matched below ``high``.

    Returns:
        ``(candidates,)``: the index of a box, ``NEGATIVE`` or ``IGNORED``.
    """
    # The barrier prevents XLA from computing the overlaps twice with different rounding, so that ties would be missed.
    overlaps = lax.optimization_barrier(jnp.where(exists[:, None] & candidate[None, :], overlaps, -1.0))
    best, box = overlaps.max(0), overlaps.argmax(0).astype(jnp.int32)
    matched = best >= high
    if best_too:
        most = overlaps.max(1, keepdims=True)
        matched |= ((overlaps == most) & (overlaps > 0)).any(0)
    found = jnp.where(matched, box, jnp.where(best < low, NEGATIVE, IGNORED))
    return jnp.where(candidate, found, IGNORED)


def draw(key: jax.Array, matched: jax.Array, *, count: int, positive_share: float) -> tuple[jax.Array, jax.Array]:
    """A random sample of matches: positive ones up to a fraction, and negative ones.

    Args:
        key: random key.
        matched: ``(n,)``, from ``match``.
        count: the length of the sample, at most that of the list.
        positive_share: positive entries are at most this fraction of ``count``; the others are negative.

    Returns:
        ``index`` ``(count,)``, positive entries first, and ``weight`` ``(count,)``, 0 for padding.
    """
    number = len(matched)
    most_positive = min(int(count * positive_share), number)
    count = min(count, number)
    order = jax.random.uniform(key, (number,))
    chance, positive = lax.top_k(jnp.where(matched >= 0, order, -1.0), most_positive)
    positives = (chance >= 0).sum(dtype=jnp.int32)
    chance, negative = lax.top_k(jnp.where(matched == NEGATIVE, order, -1.0), count)
    negatives = (chance >= 0).sum(dtype=jnp.int32)
    place = jnp.arange(count, dtype=jnp.int32)
    padded = jnp.concatenate([positive, jnp.zeros(count - most_positive, positive.dtype)])
    index = jnp.where(place < positives, padded, negative[jnp.maximum(place - positives, 0)])
    return index, (place < positives + negatives).astype(jnp.float32)


def sample_anchors(
    key: jax.Array,
    anchors: jax.Array,
    boxes: jax.Array,
    exists: jax.Array,
    image_size: jax.Array,
    *,
    thresholds: tuple[float, float],
    count: int,
    positive_share: float,
    crossing: bool,
) -> Sample:
    """A sample of anchors with label 1 for objects; without ``crossing``, of anchors within the image."""
    border = jnp.concatenate([jnp.zeros(2), image_size[::-1].astype(jnp.float32)])
    inside = (anchors[:, :2] >= border[None, :2]).all(-1) & (anchors[:, 2:] <= border[None, 2:]).all(-1)
    matched = match(
        box_iou(boxes, anchors), exists, inside | crossing, low=thresholds[0], high=thresholds[1], best_too=True
    )
    index, weight = draw(key, matched, count=count, positive_share=positive_share)
    return Sample(index, weight, (matched >= 0).astype(jnp.int32)[index], boxes[jnp.maximum(matched, 0)][index])


def sample_regions(
    key: jax.Array,
    regions: jax.Array,
    there: jax.Array,
    boxes: jax.Array,
    labels: jax.Array,
    exists: jax.Array,
    *,
    threshold: float,
    count: int,
    positive_share: float,
) -> Sample:
    """A sample of regions with the class of the matched box, or the background below the threshold."""
    matched = match(box_iou(boxes, regions), exists, there, low=threshold, high=threshold, best_too=False)
    index, weight = draw(key, matched, count=count, positive_share=positive_share)
    at = jnp.maximum(matched, 0)
    return Sample(index, weight, jnp.where(matched >= 0, labels[at], 0)[index], boxes[at][index])
