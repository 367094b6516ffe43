"""Arrays of a network as small pictures in bytes, which are sent to the page."""

import math
from typing import Any

import jax
import jax.numpy as jnp

# The largest number of channels of a layer, and of rows and columns, that are sent to the page.
MOST_TILES, MOST_PIXELS = 64, 64
MOST_INPUTS = 16  # of a kernel, of which each input is a column
MOST_WEIGHTS = 128  # rows and columns of a matrix

Tiles = dict[str, jax.Array]  # "pixels": uint8 (tiles, height, width, 1 or 3); "low", "high": the values of 0 and 255


def layer_tiles(value: jax.Array, *, signed: bool = False) -> Tiles:
    """One tile for each channel of a layer ``(*spatial, channels)`` of one example; of volumes the middle slice.

    Args:
        value: of zero to three spatial axes.
        signed: whether 0 is the middle of the range, as for gradients.
    """
    value = value[value.shape[0] // 2] if value.ndim == 4 else value
    if value.ndim == 2:  # a series: time runs to the right, and each channel is a row
        value = value.T[..., None]
    maps = value.reshape((1,) * max(0, 3 - value.ndim) + value.shape)
    return to_bytes(_thinned(jnp.moveaxis(maps, -1, 0)[:MOST_TILES], MOST_PIXELS)[..., None], signed=signed)


def weight_tiles(kernel: jax.Array) -> Tiles:
    """The tiles of a kernel ``(*window, in, out)``: one for each output in colour, or for each pair of channels.

    A matrix ``(in, out)`` is one tile, with a row for each output. 0 is the middle of the range.
    """
    if kernel.ndim == 2:
        return to_bytes(_thinned(kernel.T[None], MOST_WEIGHTS)[..., None], signed=True)
    if kernel.ndim > 4:  # of volumes the middle slice
        kernel = kernel[tuple(size // 2 for size in kernel.shape[:-4])]
    *window, inputs, outputs = kernel.shape
    maps = kernel.reshape((*((1,) if len(window) == 1 else ()), *window, inputs, outputs))
    if inputs == 3:
        return to_bytes(jnp.moveaxis(maps, -1, 0)[:MOST_TILES], signed=True)
    columns = min(inputs, MOST_INPUTS)
    rows = min(outputs, max(1, MOST_TILES // columns))
    pairs = jnp.moveaxis(maps[..., :columns, :rows], (-1, -2), (0, 1))
    return to_bytes(pairs.reshape(rows * columns, *pairs.shape[2:], 1), signed=True)


def weight_columns(shape: tuple[int, ...]) -> int:
    """The number of tiles in a row of ``weight_tiles``: 0 if the number is arbitrary."""
    inputs = shape[-2]
    return min(inputs, MOST_INPUTS) if len(shape) > 2 and inputs not in (1, 3) else 0


def to_bytes(tiles: jax.Array, *, signed: bool) -> Tiles:
    """The tiles from their least to their greatest finite value, as 0 to 255; others are drawn as 0."""
    tiles = tiles.astype(jnp.float32)
    finite = jnp.isfinite(tiles)
    known = jnp.where(finite, tiles, 0)
    low, high = known.min(), known.max()
    if signed:
        high = jnp.maximum(high, -low)
        low = -high
    wide = jnp.where(high > low, high - low, 1)
    pixels = jnp.round(255 * (known - low) / wide) if not signed else jnp.round(127.5 + 255 * known / wide)
    whole = finite.all()
    low, high = (jnp.where(whole, bound, jnp.nan) for bound in (low, high))
    return {"pixels": jnp.clip(pixels, 0, 255).astype(jnp.uint8), "low": low, "high": high}


def _thinned(tiles: jax.Array, most: int) -> jax.Array:
    """Tiles ``(n, height, width)`` of at most this many rows and columns: every second one, or every third."""
    steps = [math.ceil(size / most) for size in tiles.shape[1:3]]
    return tiles[:, :: steps[0], :: steps[1]]


def is_drawn(array: Any) -> bool:
    """Whether an array of the parameters is drawn: kernels and matrices, but not biases and scales."""
    return len(array.shape) >= 2 and min(array.shape) > 0
