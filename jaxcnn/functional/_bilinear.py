"""Bilinear sampling of one image at any positions."""

import jax
import jax.numpy as jnp


def bilinear(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """``sum over p of image[p] max(0, 1 - |row - p0|) max(0, 1 - |column - p1|)``; positions are clipped to the image.

    Args:
        image: ``(height, width, channels)``.
        rows: floating ``(...)``; pixel ``p`` is at position ``p``.
        columns: of the same shape.

    Returns:
        ``(..., channels)``. A gradient for the positions exists between pixels.

    >>> bilinear(jnp.array([[[0.0], [2.0]]]), jnp.zeros(2), jnp.array([0.25, 5.0]))[:, 0]
    Array([0.5, 2. ], dtype=float32)
    """
    height, width, channels = image.shape
    return bilinear_of_flat(image.reshape(height * width, channels), rows, columns, height=height, width=width)


def bilinear_of_flat(
    pixels: jax.Array,
    rows: jax.Array,
    columns: jax.Array,
    *,
    height: int | jax.Array,
    width: int | jax.Array,
    start: int | jax.Array = 0,
) -> jax.Array:
    """``bilinear`` with an image for each position; the pixels of all images are in one list.

    Args:
        pixels: ``(n, channels)``, the pixels of each image row by row.
        rows: floating ``(...)``.
        columns: of the same shape.
        height: of the image that a position is in, a number or an array that broadcasts with the positions.
        width: of that image.
        start: the place of its first pixel.

    Returns:
        ``(..., channels)``.
    """
    total = None
    for row, row_weight in _corners(rows, height):
        for column, column_weight in _corners(columns, width):
            taken = pixels.at[start + row * width + column].get(mode="promise_in_bounds")
            part = taken * (row_weight * column_weight)[..., None].astype(pixels.dtype)
            total = part if total is None else total + part
    assert total is not None  # there are four corners
    return total


def _corners(at: jax.Array, size: int | jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """Along one axis, the two pixels around each position with their weights."""
    last = jnp.asarray(size - 1, at.dtype)
    at = jnp.clip(at, jnp.zeros((), at.dtype), last)
    low = jnp.minimum(jnp.floor(at), jnp.maximum(last - 1, 0))
    index, share = low.astype(jnp.int32), at - low
    return [(index, 1 - share), (jnp.minimum(index + 1, size - 1), share)]
