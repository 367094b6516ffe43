"""Rectangles within images: random sizes and positions, and masks."""

import math

import jax
import jax.numpy as jnp

from jaxcnn.augment._images import with_sharding_of

TRIES = 10  # draws of a size; if none fits, the image has no rectangle


def random_sides(
    draws: jax.Array, limits: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first of several random rectangles that fits into each image.

    Args:
        draws: ``(2, n, tries)``, uniform in [0, 1): of the area and of the logarithm of the aspect.
        limits: lengths of the image along side ``a`` and side ``b``.
        area: least and largest share of the image.
        aspect: least and largest ``a / b``.

    Returns:
        whether one fits, ``a`` and ``b``, each ``(n,)``; the sides are whole pixels.
    """
    covered = limits[0] * limits[1] * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = jnp.exp(low + (high - low) * draws[1])
    sides = jnp.round(jnp.sqrt(covered * ratio)), jnp.round(jnp.sqrt(covered / ratio))
    (fits_a, fits_b) = ((side >= 1) & (side <= limit) for side, limit in zip(sides, limits, strict=True))
    fits = fits_a & fits_b
    first = jnp.argmax(fits, axis=1)[:, None]
    a, b = (jnp.take_along_axis(side, first, axis=1)[:, 0] for side in sides)
    return fits.any(axis=1), a, b


def random_offset(draws: jax.Array, room: jax.Array) -> jax.Array:
    """An offset uniform over the integers from 0 to ``room``, from draws uniform in [0, 1)."""
    # A draw just under 1 may round up to room + 1 in the product.
    return jnp.minimum(jnp.floor(draws * (room + 1)), room)


def rectangle_mask(
    images: jax.Array, top: jax.Array, bottom: jax.Array, left: jax.Array, right: jax.Array
) -> jax.Array:
    """``(n, height, width, 1)``: true in the rows ``top`` to ``bottom - 1`` and columns ``left`` to ``right - 1``."""
    _, height, width, _ = images.shape
    top, bottom, left, right = (with_sharding_of(end, images)[:, None] for end in (top, bottom, left, right))
    rows, columns = jnp.arange(height, dtype=top.dtype)[None], jnp.arange(width, dtype=left.dtype)[None]
    in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (in_rows[:, :, None] & in_columns[:, None, :])[..., None]
