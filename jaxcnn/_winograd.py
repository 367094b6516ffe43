"""Winograd's minimal filtering F(4 x 4, 3 x 3), tile by tile: 36 products per channel for 16 outputs, instead of 144.

The input is divided into tiles of 6 x 6 that overlap by 2. Constant matrices transform the tiles and the kernel, and 36
matrix products over channels multiply them: ``y = A^T (sum over channels of U * V) A`` with the transforms ``U`` of the
kernel and ``V`` of the tiles. So the algorithm consists of matrix products and copies.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), equations 7 to 12 and 5.3.
"""

import dataclasses
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

STEP, TILE = 4, 6  # positions that a tile writes and reads, per axis
_PARTS = slice(0, STEP), slice(STEP, TILE)  # of an axis of a tile: its own block, and the start of the next

INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The rows and columns of tiles that cover the output, and the number of images in a block."""

    rows: int
    columns: int
    images: int
    blocks: int = 1


def along_both_axes(matrix: np.ndarray) -> np.ndarray:
    """The matrix of a transform along both axes of a tile."""
    return np.kron(matrix, matrix).astype(np.float32)


def transform(matrix: np.ndarray, a: jax.Array, precision: Any) -> jax.Array:
    """The product of the matrix with the first axis of an array."""
    return lax.dot_general(jnp.asarray(matrix), a, (((1,), (0,)), ((), ())), precision=precision)


def transformed_kernel(kernel: jax.Array, precision: Any) -> jax.Array:
    """``U`` ``(36, channels, out_channels)`` of a kernel ``(3, 3, channels, out_channels)``."""
    return transform(along_both_axes(KERNEL), lax.reshape(kernel, (9, *kernel.shape[2:])), precision)


def tiled_sizes(tiling: Tiling) -> tuple[int, int]:
    """The sizes that the tiles read, in whole blocks of ``STEP``; the last block is read in part."""
    return STEP * (tiling.rows + 1), STEP * (tiling.columns + 1)


def padded(a: jax.Array, pads: Any, sizes: tuple[int, int]) -> jax.Array:
    """The input with zeros before, as in the geometry, and after, up to the sizes that the tiles read."""
    spatial = [(before, n - size - before, 0) for n, size, (before, _) in zip(sizes, a.shape[1:3], pads, strict=True)]
    return lax.pad(a, jnp.zeros((), a.dtype), [(0, 0, 0), *spatial, (0, 0, 0)])


def input_tiles(z: jax.Array, tiling: Tiling, precision: Any) -> jax.Array:
    """``V`` ``(36, tiles, channels)`` of a padded input."""
    return transform(along_both_axes(INPUT)[:, _ORDER], overlapping_tiles(z, tiling), precision)


def _order() -> np.ndarray:
    """The entries of a tile, row by row, in the order in which ``overlapping_tiles`` concatenates them."""
    entries = np.arange(TILE * TILE).reshape(TILE, TILE)
    parts = (entries[rows, columns] for rows in _PARTS for columns in _PARTS)
    return np.concatenate([part.ravel() for part in parts])


_ORDER = _order()


def overlapping_tiles(z: jax.Array, tiling: Tiling) -> jax.Array:
    """``(6 * 6, tiles, channels)``: tiles with a distance of ``STEP``, entry by entry, in the order of ``_order``.

    In blocks of ``STEP`` by ``STEP``, a tile is one block and the first rows and columns of its neighbours. These four
    parts are concatenated once. One concatenation for each axis takes LLVM up to twice as long to compile. A gather
    compiles faster still, but XLA merges the padding into it and tests every entry that it reads: a convolution takes
    1.1 to 1.6 times as long. The barrier keeps the padding and the transposition out of the concatenation as well.
    """
    images, height, width, channels = z.shape
    blocks = lax.reshape(z, (images, height // STEP, STEP, width // STEP, STEP, channels))
    blocks = lax.optimization_barrier(lax.transpose(blocks, (2, 4, 0, 1, 3, 5)))
    parts = []
    for down, rows in enumerate(_PARTS):
        for right, columns in enumerate(_PARTS):
            counts = rows.stop - rows.start, columns.stop - columns.start
            start = (0, 0, 0, down, right, 0)
            sizes = (*counts, images, tiling.rows, tiling.columns, channels)
            part = lax.slice(blocks, start, [at + size for at, size in zip(start, sizes, strict=True)])
            parts.append(lax.reshape(part, (prod(counts), images * tiling.rows * tiling.columns, channels)))
    return lax.concatenate(parts, 0)


def tiles(a: jax.Array, tiling: Tiling) -> jax.Array:
    """``(4 * 4, tiles, channels)``: tiles that do not overlap, entry by entry."""
    images, _, _, channels = a.shape
    a = lax.reshape(a, (images, tiling.rows, STEP, tiling.columns, STEP, channels))
    a = lax.transpose(a, (2, 4, 0, 1, 3, 5))
    return lax.reshape(a, (STEP * STEP, images * tiling.rows * tiling.columns, channels))


def join(products: jax.Array, tiling: Tiling) -> jax.Array:
    """``(4 * 4, tiles, channels)`` to ``(images, 4 * rows, 4 * columns, channels)``."""
    channels = products.shape[-1]
    split = lax.reshape(products, (STEP, STEP, tiling.images, tiling.rows, tiling.columns, channels))
    split = lax.transpose(split, (2, 3, 0, 4, 1, 5))
    return lax.reshape(split, (tiling.images, STEP * tiling.rows, STEP * tiling.columns, channels))


def convolve(x: jax.Array, u: jax.Array, pads: Any, tiling: Tiling, precision: Any) -> jax.Array:
    """The convolution of one block of images ``(images, 4 * rows, 4 * columns, out_channels)``, in whole tiles."""
    v = input_tiles(padded(x, pads, tiled_sizes(tiling)), tiling, precision)
    products = lax.dot_general(v, u, (((2,), (1,)), ((0,), (0,))), precision=precision)
    return join(transform(along_both_axes(OUTPUT), products, precision), tiling)
