"""Images read at positions of their own: between pixels, or at the nearest one."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import take_pixels
from jaxcnn.functional.dtypes import accumulator_dtype


def _centred_grid(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Row and column of each pixel, counted from the centre, ``(1, height, 1)`` and ``(1, 1, width)``."""
    _, height, width, _ = images.shape
    dtype = accumulator_dtype(images.dtype)
    down = (jnp.arange(height, dtype=dtype) - (height - 1) / 2)[None, :, None]
    right = (jnp.arange(width, dtype=dtype) - (width - 1) / 2)[None, None, :]
    return down, right


def affine_positions(images: jax.Array, matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The rows and columns, counted from the first pixel, that matrices ``(batch, 2, 3)`` about the centre point to."""
    _, height, width, _ = images.shape
    down, right = _centred_grid(images)
    matrices = matrices.astype(down.dtype)[:, :, :, None, None]
    across, along, offset = matrices[:, :, 0], matrices[:, :, 1], matrices[:, :, 2]
    rows = across[:, 0] * down + along[:, 0] * right + offset[:, 0] + (height - 1) / 2
    columns = across[:, 1] * down + along[:, 1] * right + offset[:, 1] + (width - 1) / 2
    return rows, columns


def bilinear(images: jax.Array, rows: jax.Array, columns: jax.Array, fill: float) -> jax.Array:
    """Each image at positions ``(batch, height, width)``, weighted over the four pixels around; outside is ``fill``.

    Four gathers of single pixels. On two CPU cores a batch of 128 x 32 x 32 takes 0.4 ms of a 9 ms training step of
    LeNet-5; a gather of 2 x 2 windows takes twice that, products with interpolation matrices 20 times, and
    ``jax.scipy.ndimage.map_coordinates`` for each channel the same for grey images and twice for colour.
    """
    batch, height, width, _ = images.shape
    # A border one pixel wide: whatever lies further out is the same fill.
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
    row, below = _whole_and_part(rows + 1, height)
    column, beyond = _whole_and_part(columns + 1, width)
    corner = (row * (width + 2) + column).reshape(batch, height * width)
    below, beyond = below[..., None], beyond[..., None]

    def between(first: jax.Array) -> jax.Array:
        left, right = (take_pixels(padded, first + step).reshape(images.shape).astype(rows.dtype) for step in (0, 1))
        return left * (1 - beyond) + right * beyond

    y = between(corner) * (1 - below) + between(corner + (width + 2)) * below
    return y.astype(images.dtype)


def nearest(images: jax.Array, rows: jax.Array, columns: jax.Array, fill: float) -> jax.Array:
    """Each image at the pixels nearest to positions ``(batch, height, width)``, halves upwards; outside is ``fill``."""
    batch, height, width, _ = images.shape
    row, column = jnp.floor(rows + 0.5), jnp.floor(columns + 0.5)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    index = (row * width + column).astype(jnp.int32).reshape(batch, height * width)
    y = take_pixels(images, index).reshape(images.shape)
    return jnp.where(inside[..., None], y, jnp.asarray(fill, y.dtype))


def _whole_and_part(position: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """The pixel before a position of a padded axis, and how far beyond it the position is, 0 to 1.

    The last pixel that another one follows is ``size``, so the far end is that pixel and a part of 1.
    """
    position = jnp.clip(position, 0, size + 1)
    whole = jnp.minimum(jnp.floor(jax.lax.stop_gradient(position)), size)
    return whole.astype(jnp.int32), position - whole
