"""Policies: for each image, some of fourteen operations at random."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn.augment._images import as_fill, as_images, as_key, with_batch_shape
from jaxcnn.augment._operations import OPERATIONS, apply_operations, strength_table


def rand_augment(
    key: jax.Array, images: ArrayLike, *, num_ops: int = 2, magnitude: int = 9, num_bins: int = 31, fill: float = 0.0
) -> jax.Array:
    """Applies ``num_ops`` random operations of one magnitude to each image, one after the other: RandAugment.

    Each is one of fourteen with equal probability: identity, shear (slope 0.3) and translate (150/331 of the size)
    along either axis, rotate (30 degrees), brightness, color, contrast and sharpness (0.9), each with a random sign;
    posterize (to 4 bits), solarize (from 0), auto_contrast and equalize. In brackets is the strength at the last of
    ``num_bins`` magnitudes; at the first it is about zero.

    Args:
        key: determines the operations, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, in [0, 1].
        num_ops: number of operations for each image.
        magnitude: from 0 to ``num_bins - 1``.
        num_bins: number of magnitudes.
        fill: the value outside the images; 0.5, grey, in the paper.

    Returns:
        images of the same shape and dtype, in [0, 1].

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        ValueError: options that are out of range.
        TypeError: images that are not floating, options that are not integers, or an invalid key.

    Source: Cubuk et al. (2020), "RandAugment: practical automated data augmentation with a reduced search space";
    operations, ranges and 31 bins as in torchvision's ``RandAugment``, moves with the nearest pixel.

    >>> images = jnp.full((4, 8, 8, 3), 0.5)
    >>> print(jax.jit(rand_augment)(jax.random.key(0), images)[:, 4, 4, 0].round(3))  # the last becomes darker
    [0.5   0.5   0.5   0.365]
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    num_ops = as_int(num_ops, name="num_ops")
    magnitude = as_int(magnitude, name="magnitude")
    num_bins = _as_bins(num_bins)
    fill = as_fill(fill)
    if num_ops < 0:
        raise ValueError(f"num_ops={num_ops} must be at least 0.")
    if not 0 <= magnitude < num_bins:
        raise ValueError(f"magnitude={magnitude} must be from 0 to num_bins - 1 = {num_bins - 1}.")
    _, height, width, _ = x.shape
    translate = (150 / 331 * width, 150 / 331 * height)
    table, signed = strength_table(bins=num_bins, shear=0.3, translate=translate, rotate=30.0, factor=0.9, bits=4)
    for one in jax.random.split(key, num_ops):
        x = _apply_random(one, x, table[:, magnitude : magnitude + 1], signed, fill)
    return with_batch_shape(x, batch_shape)


def trivial_augment(key: jax.Array, images: ArrayLike, *, num_bins: int = 31, fill: float = 0.0) -> jax.Array:
    """Applies one random operation of random magnitude to each image: TrivialAugment with its wide ranges.

    The operation is one of the fourteen of ``rand_augment`` with equal probability, its magnitude one of ``num_bins``.
    At the last magnitude: shear 0.99, translate 32 pixels, rotate 135 degrees, brightness, color, contrast and
    sharpness 0.99, posterize to 2 bits, solarize from 0.

    Args:
        key: determines operations and magnitudes, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, in [0, 1].
        num_bins: number of magnitudes.
        fill: the value outside the images.

    Returns:
        images of the same shape and dtype, in [0, 1].

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        ValueError: fewer than two bins.
        TypeError: images that are not floating, bins that are not an integer, or an invalid key.

    Source: Müller and Hutter (2021), "TrivialAugment: tuning-free yet state-of-the-art data augmentation", table 1
    ("wide"); the ranges as in torchvision's ``TrivialAugmentWide``, moves with the nearest pixel.

    >>> images = jnp.full((4, 8, 8, 3), 0.5)
    >>> print(jax.jit(trivial_augment)(jax.random.key(2), images)[:, 4, 4, 0].round(3))  # two become black
    [0.5 0.  0.  0.5]
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    num_bins, fill = _as_bins(num_bins), as_fill(fill)
    table, signed = strength_table(bins=num_bins, shear=0.99, translate=(32, 32), rotate=135.0, factor=0.99, bits=6)
    return with_batch_shape(_apply_random(key, x, table, signed, fill), batch_shape)


def _apply_random(key: jax.Array, images: jax.Array, table: np.ndarray, signed: np.ndarray, fill: float) -> jax.Array:
    """A random operation for each image, at a random magnitude of the table, with a random sign where it has one."""
    batch, bins = len(images), table.shape[1]
    which_key, bin_key, sign_key = jax.random.split(key, 3)
    which = jax.random.randint(which_key, (batch,), 0, len(OPERATIONS), jnp.int32)
    bin_index = jax.random.randint(bin_key, (batch,), 0, bins, jnp.int32)
    strengths = jnp.asarray(table)[which, bin_index]
    negative = jax.random.bernoulli(sign_key, 0.5, (batch,)) & jnp.asarray(signed)[which]
    return apply_operations(images, which, jnp.where(negative, -strengths, strengths), fill=fill)


def _as_bins(value: int) -> int:
    bins = as_int(value, name="num_bins")
    if bins < 2:
        raise ValueError(f"num_bins={bins} must be at least 2, the weakest and the strongest.")
    return bins
