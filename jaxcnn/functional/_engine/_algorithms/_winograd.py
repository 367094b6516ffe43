"""Winograd's minimal filtering F(4 x 4, 3 x 3): 36 products per channel for 16 outputs, instead of 144.

The input is divided into tiles of 6 x 6 that overlap by 2. Constant matrices transform the tiles and the kernel, and 36
matrix products over channels multiply them. All of this is matrix products and copies, for which XLA:CPU compiles no
code, over blocks of images whose tiles stay in the cache.

In float32 the error is about 1e-5 of the output's scale, ten times that of the direct sum. It is relative to the
largest entry of a tile: if one entry is a million times its neighbours, the outputs of its tile that do not read it
lose six digits. No error crosses tiles. If an entry is not finite, the direct sum is computed instead.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), equations 7 to 12 and 5.3.
"""

import dataclasses
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms import _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_dense
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._algorithms._transposition import transposed_kernel_grad, zeros_like_product
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

BLOCK_BYTES = 12 * 2**20  # with smaller blocks the program takes more memory: a loop keeps its input and its output
LARGE_IMAGE = 20 * 2**20  # bytes of the tiles of one image
HEADROOM = 2.0**50
STEP, TILE = 4, 6  # positions that a tile writes and reads, per axis

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
    """How many tiles cover the output, and how many images make a block."""

    rows: int
    columns: int
    images: int
    blocks: int


def tiling_for(geometry: ConvGeometry) -> Tiling:
    """Tiles for every position, in the largest equal blocks of images that take at most ``BLOCK_BYTES``."""
    rows, columns = (-(-out // STEP) for out in geometry.out_sizes)
    count, channels = geometry.batch_shape[0], max(geometry.in_channels, geometry.out_channels)
    limit = max(BLOCK_BYTES // (rows * columns * TILE * TILE * channels * 4), 1)
    images = max(n for n in range(1, min(limit, count) + 1) if count % n == 0)
    return Tiling(rows, columns, images, count // images)


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y = A^T (sum over channels of U * V) A`` tile by tile, with ``U`` and ``V`` the transforms of both."""
    geometry, precision, tiling = plan.geometry, plan.precision, tiling_for(plan.geometry)
    x, kernel = lax.optimization_barrier((x, kernel))  # or XLA transforms, and stores, all kernels of a network at once
    u = _transform(_both(KERNEL), lax.reshape(kernel, (9, *kernel.shape[2:])), precision)

    def compute(part: jax.Array) -> jax.Array:
        z = _padded(part, geometry.pads, _tiled_sizes(tiling))
        products = lax.dot_general(
            _input_tiles(z, tiling, precision), u, (((2,), (1,)), ((0,), (0,))), precision=precision
        )
        return _join(_transform(_both(OUTPUT), products, precision), tiling)

    if tiling.blocks == 1:
        y = compute(x)
    else:

        def body(index: jax.Array, y: jax.Array) -> jax.Array:
            start = index * tiling.images
            part = lax.dynamic_slice_in_dim(x, start, tiling.images)
            return lax.dynamic_update_slice_in_dim(y, compute(part), start, 0)

        shape = (x.shape[0], STEP * tiling.rows, STEP * tiling.columns, geometry.out_channels)
        y = lax.fori_loop(0, tiling.blocks, body, zeros_like_product(shape, x, kernel))
    y = lax.slice(y, (0,) * 4, geometry.out_shape)
    # Every output channel reads the whole tile, so that one channel shows whether an entry of it is not finite. Scaled,
    # it also shows entries so large that the transforms overflow and the sum itself does not.
    return recompute_unless_finite(
        y, y[..., 0] * HEADROOM, lambda _, x, kernel: _xla.forward(x, kernel, plan), x, kernel
    )


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """``G^T (sum over tiles of V^T (A g A^T)) G``: the transpose of the forward map in its kernel."""
    geometry, precision, tiling = plan.geometry, plan.precision, tiling_for(plan.geometry)
    x, g = lax.optimization_barrier((x, g))  # or XLA makes the tiles of inputs, and stores them, in the forward pass

    def compute(x: jax.Array, g: jax.Array) -> jax.Array:
        z = _padded(x, geometry.pads, _tiled_sizes(tiling))
        g = _padded(g, ((0, 0), (0, 0)), (STEP * tiling.rows, STEP * tiling.columns))
        cotangents = _transform(_both(OUTPUT).T, _cut(g, STEP, tiling), precision)
        return lax.dot_general(
            _input_tiles(z, tiling, precision), cotangents, (((1,), (1,)), ((0,), (0,))), precision=precision
        )

    if tiling.blocks == 1:
        du = compute(x, g)
    else:

        def body(index: jax.Array, du: jax.Array) -> jax.Array:
            start = index * tiling.images
            return du + compute(*(lax.dynamic_slice_in_dim(a, start, tiling.images) for a in (x, g)))

        shape = (TILE * TILE, geometry.in_channels, geometry.out_channels)
        du = lax.fori_loop(0, tiling.blocks, body, zeros_like_product(shape, x, g))
    dk = lax.reshape(_transform(_both(KERNEL).T, du, precision), geometry.kernel_shape)
    # An entry at the border is not read by every tap, but is part of the transforms of all of them.
    return recompute_unless_finite(dk, dk, lambda _, x, g: transposed_kernel_grad(_xla.forward, x, g, plan), x, g)


def _both(matrix: np.ndarray) -> np.ndarray:
    """The transform along both axes at once."""
    return np.kron(matrix, matrix).astype(np.float32)


def _transform(matrix: np.ndarray, a: jax.Array, precision: Any) -> jax.Array:
    """The matrix along the first axis."""
    return lax.dot_general(jnp.asarray(matrix), a, (((1,), (0,)), ((), ())), precision=precision)


def _tiled_sizes(tiling: Tiling) -> tuple[int, int]:
    """The sizes that the tiles read, in whole blocks of ``STEP``; the last block is read in part."""
    return STEP * (tiling.rows + 1), STEP * (tiling.columns + 1)


def _padded(a: jax.Array, pads: Any, sizes: tuple[int, int]) -> jax.Array:
    """Zeros before as the geometry pads, and after up to the sizes that the tiles read."""
    spatial = [(before, n - size - before, 0) for n, size, (before, _) in zip(sizes, a.shape[1:3], pads, strict=True)]
    return lax.pad(a, jnp.zeros((), a.dtype), [(0, 0, 0), *spatial, (0, 0, 0)])


def _input_tiles(z: jax.Array, tiling: Tiling, precision: Any) -> jax.Array:
    return _transform(_both(INPUT), _cut(z, TILE, tiling), precision)


def _cut(a: jax.Array, size: int, tiling: Tiling) -> jax.Array:
    """``(size * size, tiles, channels)``: tiles with a distance of ``STEP``, entry by entry.

    In blocks of ``STEP`` by ``STEP``, a tile is one block and the first rows and columns of its neighbours.
    """
    images, rows, columns, channels = a.shape
    a = lax.reshape(a, (images, rows // STEP, STEP, columns // STEP, STEP, channels))
    a = lax.transpose(a, (2, 4, 0, 1, 3, 5))
    if size > STEP:
        for entries, blocks, count in ((0, 3, tiling.rows), (1, 4, tiling.columns)):
            own = lax.slice_in_dim(a, 0, count, axis=blocks)
            start = lax.slice_in_dim(a, 0, size - STEP, axis=entries)
            a = lax.concatenate([own, lax.slice_in_dim(start, 1, count + 1, axis=blocks)], entries)
    return lax.reshape(a, (size * size, images * tiling.rows * tiling.columns, channels))


def _join(tiles: jax.Array, tiling: Tiling) -> jax.Array:
    """``(4 * 4, tiles, channels)`` to ``(images, 4 * rows, 4 * columns, channels)``."""
    channels = tiles.shape[-1]
    split = lax.reshape(tiles, (STEP, STEP, tiling.images, tiling.rows, tiling.columns, channels))
    split = lax.transpose(split, (2, 3, 0, 4, 1, 5))
    return lax.reshape(split, (tiling.images, STEP * tiling.rows, STEP * tiling.columns, channels))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one group and windows of 3 x 3 with strides and dilations of 1, in float32."""
    geometry = plan.geometry
    if geometry.window != (3, 3):
        return f"it requires a window of (3, 3), not {geometry.window}"
    if any(max(steps) > 1 for steps in (geometry.strides, geometry.input_dilation, geometry.kernel_dilation)):
        return "it requires strides and dilations of 1"
    for dtype in (plan.dtype, plan.out_dtype):
        if dtype != jnp.float32:
            return f"it computes in float32, and this is {dtype}"
    return why_not_dense(geometry)


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """36 products per tile and pair of channels, and the transforms, which leave the cache if an image is large.

    A fifth of a millisecond is added since the program takes several times as long to compile as XLA's own.
    """
    geometry = plan.geometry
    n = count_dense(geometry)
    per_image = prod(-(-out // STEP) for out in geometry.out_sizes) * TILE * TILE
    tiles = n.images * per_image
    transforms = tiles * (TILE * TILE * n.in_channels + STEP * STEP * n.out_channels)
    is_large = per_image * max(n.in_channels, n.out_channels) * 4 > LARGE_IMAGE
    spilled = tiles * (n.in_channels + n.out_channels) * is_large
    if operation == "kernel_grad":
        pairs = 2.05e-11 * tiles + 8.2e-10 * TILE * TILE
        return 2e-4 + pairs * n.in_channels * n.out_channels + 3.4e-11 * transforms + 1.2e-9 * spilled
    pairs = 1.08e-11 * tiles + 1.8e-9 * TILE * TILE  # transforming a kernel of 512 x 512 takes as long as it saves
    return 2.4e-4 + pairs * n.in_channels * n.out_channels + 2.9e-11 * transforms + 1.1e-9 * spilled


ALGORITHM = Algorithm(
    name="winograd", unsupported=_unsupported, estimate=_estimate, forward=forward, kernel_grad=kernel_grad
)
