"""How well the boundaries of masks agree."""

import numbers

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv
from jaxcnn.metrics._arrays import as_classes, as_weights, same_shape


def boundary_f1(
    masks: ArrayLike, predictions: ArrayLike, *, tolerance: float, weights: ArrayLike | None = None
) -> jax.Array:
    """The F1 score of the boundary of each mask: the harmonic mean of precision and recall of boundary pixels.

    A pixel of a mask is on its boundary where one of its four neighbours in the image is not of the mask. Precision is
    the share of the predicted boundary within ``tolerance`` of the true one, recall the share of the true boundary
    within ``tolerance`` of the predicted one. The score of a segmentation is the mean over the classes, ``labels ==
    class``, and the images that have the class.

    Args:
        masks: ``(*batch, height, width)``, booleans or integers, of which all but 0 are of the mask.
        predictions: of the same shape.
        tolerance: distance in pixels, 0 for boundaries that are equal; 0.75 % of the image's diagonal is usual.
        weights: of the shape of the masks; pixels of weight 0, such as those without a label, are on no boundary.

    Returns:
        ``(*batch)``, from 0 to 1; 0 where one of the masks has no boundary, NaN where neither has one.

    Raises:
        ShapeError: shapes that differ, or fewer than two axes.
        ValueError: a tolerance that is negative or not finite.
        TypeError: masks that are neither booleans nor integers.

    Source: Csurka, Larlus and Perronnin (2013), "What is a good evaluation measure for semantic segmentation?", section
    3.2.

    >>> mask = np.arange(8)[None] >= np.full((6, 1), 4)  # the right half of an image, and the same half a pixel less
    >>> moved = np.arange(8)[None] >= np.full((6, 1), 5)
    >>> jax.jit(lambda a, b: boundary_f1(a, b, tolerance=1))(mask, moved)
    Array(1., dtype=float32)
    """
    truth, found = as_classes(masks, name="masks"), as_classes(predictions, name="predictions")
    same_shape(truth, found, names=("masks", "predictions"))
    if truth.ndim < 2:
        raise ShapeError(f"masks must have the shape (*batch, height, width), but masks.shape={truth.shape}.")
    if not isinstance(tolerance, numbers.Real) or not 0 <= float(tolerance) < np.inf:
        raise ValueError(f"tolerance={tolerance!r} must be a distance in pixels, at least 0 and finite.")
    labelled = as_weights(weights, truth.shape, jnp.float32) != 0
    one, two = (_boundary(each != 0, labelled) for each in (truth, found))
    near_one, near_two = (_within(each, float(tolerance)) for each in (one, two))
    true, guessed = (each.sum((-2, -1), dtype=jnp.float32) for each in (one, two))
    recall = (one & near_two).sum((-2, -1), dtype=jnp.float32) / jnp.maximum(true, 1)
    precision = (two & near_one).sum((-2, -1), dtype=jnp.float32) / jnp.maximum(guessed, 1)
    total = precision + recall
    score = jnp.where(total > 0, 2 * precision * recall / jnp.where(total > 0, total, 1), 0)
    return jnp.where(true + guessed > 0, score, jnp.nan)


def _boundary(mask: jax.Array, labelled: jax.Array) -> jax.Array:
    """The labelled pixels of a mask with a labelled neighbour that is not of it."""
    other = ~mask & labelled
    touching = jnp.zeros_like(mask)
    for axis in (-2, -1):
        size = mask.shape[axis]
        pads = [(0, 0)] * mask.ndim
        pads[axis] = (1, 1)
        padded = jnp.pad(other, pads)  # there is nothing outside of the image
        for start in (0, 2):
            touching |= jax.lax.slice_in_dim(padded, start, start + size, axis=mask.ndim + axis)
    return mask & labelled & touching


def _within(pixels: jax.Array, distance: float) -> jax.Array:
    """Which pixels are within a distance of those of a map: the map and a disc overlap."""
    radius = int(distance)
    offsets = np.arange(-radius, radius + 1)
    disc = offsets[:, None] ** 2 + offsets[None] ** 2 <= distance**2 + 1e-9
    counts = conv(pixels[..., None].astype(jnp.float32), jnp.asarray(disc[..., None, None], jnp.float32))
    return counts[..., 0] > 0.5
