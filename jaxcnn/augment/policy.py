"""Policies: for each image some of fourteen operations, drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.augment.images import as_images
from jaxcnn.augment.operations import OPERATIONS, apply_operations, strength_table
from jaxcnn.shapes.axes import as_int
from jaxcnn.shapes.errors import ShapeError


def rand_augment(
    key: jax.Array, images: jax.Array, *, num_ops: int = 2, magnitude: int = 9, num_bins: int = 31, fill: float = 0.0
) -> jax.Array:
    """Applies ``num_ops`` operations to each image, one after the other, all of one magnitude: RandAugment.

    Each is one of fourteen, equally likely: identity, shear (slope 0.3) and translate (150/331 of the size) along
    either axis, rotate (30 degrees), brightness, color, contrast and sharpness (0.9), each of either sign; posterize
    (to 4 bits), solarize (from 0), auto_contrast and equalize. In brackets what the last of ``num_bins`` magnitudes
    does; the first does next to nothing.

    Args:
        key: decides the operations, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, in [0, 1].
        num_ops: operations of each image.
        magnitude: from 0 to ``num_bins - 1``.
        num_bins: magnitudes that there are.
        fill: what comes in from outside; the paper's grey is 0.5.

    Returns:
        images of the same shape and dtype, in [0, 1].

    Raises:
        ShapeError: images that are not a batch, numbers out of range.
        TypeError: images that are not floating, or numbers that are not whole.

    Source: Cubuk et al. (2020), "RandAugment: practical automated data augmentation with a reduced search space";
    operations, ranges and 31 bins as in torchvision's ``RandAugment``, pixels from the nearest.

    >>> images = jnp.full((4, 8, 8, 3), 0.5)
    >>> print(rand_augment(jax.random.key(0), images)[:, 4, 4, 0].round(3))  # one made darker
    [0.5   0.5   0.5   0.365]
    """
    who = "rand_augment"
    images = as_images(images, who=who)
    num_ops = as_int(num_ops, who=who, name="num_ops")
    magnitude = as_int(magnitude, who=who, name="magnitude")
    num_bins = _bins(num_bins, who=who)
    if num_ops < 0:
        raise ShapeError(f"{who}: num_ops={num_ops} must be at least 0.")
    if not 0 <= magnitude < num_bins:
        raise ShapeError(f"{who}: magnitude={magnitude} must be from 0 to num_bins - 1 = {num_bins - 1}.")
    _, height, width, _ = images.shape
    reach = (150 / 331 * width, 150 / 331 * height)
    table, signed = strength_table(bins=num_bins, shear=0.3, translate=reach, rotate=30.0, factor=0.9, bits=4)
    for one in jax.random.split(key, num_ops):
        images = _apply_drawn(one, images, table[:, magnitude : magnitude + 1], signed, fill)
    return images


def trivial_augment(key: jax.Array, images: jax.Array, *, num_bins: int = 31, fill: float = 0.0) -> jax.Array:
    """Applies one operation to each image, of a magnitude drawn too: TrivialAugment with its wide ranges.

    It is one of the fourteen of ``rand_augment``, equally likely, and one of ``num_bins`` magnitudes. The last: shear
    0.99, translate 32 pixels, rotate 135 degrees, brightness, color, contrast and sharpness 0.99, posterize to 2 bits,
    solarize from 0.

    Args:
        key: decides operations and magnitudes, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, in [0, 1].
        num_bins: magnitudes that there are.
        fill: what comes in from outside.

    Returns:
        images of the same shape and dtype, in [0, 1].

    Raises:
        ShapeError: images that are not a batch, or fewer than two bins.
        TypeError: images that are not floating, or bins that are not whole.

    Source: Müller and Hutter (2021), "TrivialAugment: tuning-free yet state-of-the-art data augmentation", table 1
    ("wide"); the numbers as in torchvision's ``TrivialAugmentWide``, pixels from the nearest.

    >>> images = jnp.full((4, 8, 8, 3), 0.5)
    >>> print(trivial_augment(jax.random.key(2), images)[:, 4, 4, 0].round(3))  # two made black
    [0.5 0.  0.  0.5]
    """
    who = "trivial_augment"
    images, num_bins = as_images(images, who=who), _bins(num_bins, who=who)
    table, signed = strength_table(bins=num_bins, shear=0.99, translate=(32, 32), rotate=135.0, factor=0.99, bits=6)
    return _apply_drawn(key, images, table, signed, fill)


def _apply_drawn(key: jax.Array, images: jax.Array, table: np.ndarray, signed: np.ndarray, fill: float) -> jax.Array:
    """One operation for each image, at one of the table's magnitudes and of either sign where it has one."""
    batch, bins = len(images), table.shape[1]
    which_key, bin_key, sign_key = jax.random.split(key, 3)
    which = jax.random.randint(which_key, (batch,), 0, len(OPERATIONS), jnp.int32)
    chosen = jax.random.randint(bin_key, (batch,), 0, bins, jnp.int32)
    strengths = jnp.asarray(table)[which, chosen]
    negative = jax.random.bernoulli(sign_key, 0.5, (batch,)) & jnp.asarray(signed)[which]
    return apply_operations(images, which, jnp.where(negative, -strengths, strengths), fill=fill)


def _bins(value: int, *, who: str) -> int:
    bins = as_int(value, who=who, name="num_bins")
    if bins < 2:
        raise ShapeError(f"{who}: num_bins={bins} must be at least 2, the weakest and the strongest.")
    return bins
