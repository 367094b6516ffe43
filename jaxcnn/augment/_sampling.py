"""Images sampled at given positions: interpolated, or from the nearest pixel."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import accumulator_dtype
from jaxcnn.augment._images import take_pixels


def _centred_grid(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Row and column of each pixel relative to the centre, ``(1, height, 1)`` and ``(1, 1, width)``."""
    _, height, width, _ = images.shape
    dtype = accumulator_dtype(images.dtype)
    down = (jnp.arange(height, dtype=dtype) - (height - 1) / 2)[None, :, None]
    right = (jnp.arange(width, dtype=dtype) - (width - 1) / 2)[None, None, :]
    return down, right


def affine_positions(images: jax.Array, matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The positions that matrices ``(n, 2, 3)`` relative to the centre map each pixel to, ``(n, height, width)`` each.

    Rows and columns count from the first pixel.
    """
    _, height, width, _ = images.shape
    down, right = _centred_grid(images)
    matrices = matrices.astype(down.dtype)[:, :, :, None, None]
    by_row, by_column, offset = matrices[:, :, 0], matrices[:, :, 1], matrices[:, :, 2]
    rows = by_row[:, 0] * down + by_column[:, 0] * right + offset[:, 0] + (height - 1) / 2
    columns = by_row[:, 1] * down + by_column[:, 1] * right + offset[:, 1] + (width - 1) / 2
    return rows, columns


def bilinear(images: jax.Array, rows: jax.Array, columns: jax.Array, fill: float) -> jax.Array:
    """Each image at positions ``(n, height, width)``, interpolated from four pixels; ``fill`` outside.

    The algorithm is four gathers of single pixels. On two CPU cores a batch of 128 x 32 x 32 takes 0.4 ms of a 9 ms
    training step of LeNet-5. A gather of 2 x 2 windows takes twice as long, products with interpolation matrices 20
    times; ``jax.scipy.ndimage.map_coordinates`` for each channel takes as long for grey images, and twice for colour.
    """
    batch, height, width, _ = images.shape
    # A border of one pixel is enough: everything further outside has the same value.
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
    row, row_weight = _floor_and_fraction(rows + 1, height)
    column, column_weight = _floor_and_fraction(columns + 1, width)
    corner = (row * (width + 2) + column).reshape(batch, height * width)
    row_weight, column_weight = row_weight[..., None], column_weight[..., None]

    def along_row(first: jax.Array) -> jax.Array:
        left, right = (take_pixels(padded, first + step).reshape(images.shape).astype(rows.dtype) for step in (0, 1))
        return left * (1 - column_weight) + right * column_weight

    y = along_row(corner) * (1 - row_weight) + along_row(corner + (width + 2)) * row_weight
    return y.astype(images.dtype)


def nearest(images: jax.Array, rows: jax.Array, columns: jax.Array, fill: float) -> jax.Array:
    """Each image at the pixels nearest to positions ``(n, height, width)``, halves rounded up; ``fill`` outside."""
    batch, height, width, _ = images.shape
    row, column = jnp.floor(rows + 0.5), jnp.floor(columns + 0.5)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    index = (row.astype(jnp.int32) * width + column.astype(jnp.int32)).reshape(batch, height * width)
    y = take_pixels(images, index).reshape(images.shape)
    return jnp.where(inside[..., None], y, jnp.asarray(fill, y.dtype))


def _floor_and_fraction(position: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """The pixel before a position of a padded axis, and the distance from it, 0 to 1.

    The index of that pixel is at most ``size``, since one pixel must follow it; so the end of the axis has a distance
    of 1.
    """
    position = jnp.clip(position, 0, size + 1)
    floor = jnp.minimum(jnp.floor(jax.lax.stop_gradient(position)), size)
    return floor.astype(jnp.int32), position - floor
