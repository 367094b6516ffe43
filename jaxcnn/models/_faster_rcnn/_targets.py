"""What anchors and regions are trained for: the box that each is matched with, and the sample that the losses read.

All functions are of one image and of static shape: a sample is a list of fixed length with a weight of 0 or 1.
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
        place: ``(n,)``, of each in the list that it is drawn from.
        weight: ``(n,)``, 1 or 0; 0 fills up the list.
        label: ``(n,)``, its class, 0 for the background.
        box: ``(n, 4)``, the box that it is matched with.
    """

    place: jax.Array
    weight: jax.Array
    label: jax.Array
    box: jax.Array


def valid_boxes(boxes: jax.Array, mask: jax.Array) -> jax.Array:
    """Which boxes are trained for: those of the mask with positive sides."""
    return mask & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def match(
    overlaps: jax.Array, exists: jax.Array, candidate: jax.Array, *, low: float, high: float, best_too: bool
) -> jax.Array:
    """The box that each candidate is matched with: the one of highest overlap, if that is at least ``high``.

    With ``best_too`` each box also takes the candidates of its own highest overlap, ties included; such a candidate is
    matched with its best box all the same. A box that no candidate overlaps takes none, where torchvision matches every
    candidate of overlap 0.

    Args:
        overlaps: ``(boxes, candidates)``.
        exists: ``(boxes,)``, which boxes there are; none is an image without boxes.
        candidate: ``(candidates,)``; those that are False are ignored.
        low: below this overlap a candidate is negative.
        high: from ``low`` to this overlap it is ignored.
        best_too: whether the best candidates of a box count below ``high``.

    Returns:
        ``(candidates,)``: the index of a box, ``NEGATIVE`` or ``IGNORED``.
    """
    # One array, or a compiler might compute the overlaps twice with different rounding and find no tie.
    overlaps = lax.optimization_barrier(jnp.where(exists[:, None] & candidate[None, :], overlaps, -1.0))
    best, box = overlaps.max(0), overlaps.argmax(0).astype(jnp.int32)
    matched = best >= high
    if best_too:
        most = overlaps.max(1, keepdims=True)
        matched |= ((overlaps == most) & (overlaps > 0)).any(0)
    found = jnp.where(matched, box, jnp.where(best < low, NEGATIVE, IGNORED))
    return jnp.where(candidate, found, IGNORED)


def draw(key: jax.Array, matched: jax.Array, *, count: int, positive_share: float) -> tuple[jax.Array, jax.Array]:
    """A random sample of matches: positive ones up to a share, and negative ones.

    Args:
        key: of the draw.
        matched: ``(n,)``, from ``match``.
        count: the length of the sample, at most that of the list.
        positive_share: positive entries are at most this share of ``count``; negative ones fill up the rest.

    Returns:
        ``index`` ``(count,)``, positive entries first, and ``weight`` ``(count,)``, 0 where there are no more.
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
    """The anchors that are trained to find objects; without ``crossing`` none that crosses the border of the image."""
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
    """The regions that are trained for a class: that of their box, or the background below the threshold."""
    matched = match(box_iou(boxes, regions), exists, there, low=threshold, high=threshold, best_too=False)
    index, weight = draw(key, matched, count=count, positive_share=positive_share)
    at = jnp.maximum(matched, 0)
    return Sample(index, weight, jnp.where(matched >= 0, labels[at], 0)[index], boxes[at][index])
