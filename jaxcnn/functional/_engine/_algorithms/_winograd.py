"""Winograd's minimal filtering (``jaxcnn/_winograd.py``) over blocks of images whose tiles stay in the cache.

In float32 the error is about 1e-5 of the output's scale, ten times that of the direct sum. It is relative to the
largest entry of a tile: if one entry is a million times its neighbours, the outputs of its tile that do not read it
lose six digits. No error crosses tiles. If an entry is not finite, the direct sum is computed instead.
"""

from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn._winograd import (
    KERNEL,
    OUTPUT,
    STEP,
    TILE,
    Tiling,
    along_both_axes,
    convolve,
    input_tiles,
    padded,
    tiled_sizes,
    tiles,
    transform,
    transformed_kernel,
)
from jaxcnn.functional._engine._algorithms import _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_dense
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._algorithms._transposition import zeros_like_product
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

BLOCK_BYTES = 12 * 2**20  # with smaller blocks the program takes more memory: a loop keeps its input and its output
LARGE_IMAGE = 20 * 2**20  # bytes of the tiles of one image
HEADROOM = 2.0**50


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
    u = transformed_kernel(kernel, precision)

    def compute(part: jax.Array) -> jax.Array:
        return convolve(part, u, geometry.pads, tiling, precision)

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
        z = padded(x, geometry.pads, tiled_sizes(tiling))
        g = padded(g, ((0, 0), (0, 0)), (STEP * tiling.rows, STEP * tiling.columns))
        cotangents = transform(along_both_axes(OUTPUT).T, tiles(g, tiling), precision)
        return lax.dot_general(
            input_tiles(z, tiling, precision), cotangents, (((1,), (1,)), ((0,), (0,))), precision=precision
        )

    if tiling.blocks == 1:
        du = compute(x, g)
    else:

        def body(index: jax.Array, du: jax.Array) -> jax.Array:
            start = index * tiling.images
            return du + compute(*(lax.dynamic_slice_in_dim(a, start, tiling.images) for a in (x, g)))

        shape = (TILE * TILE, geometry.in_channels, geometry.out_channels)
        du = lax.fori_loop(0, tiling.blocks, body, zeros_like_product(shape, x, g))
    dk = lax.reshape(transform(along_both_axes(KERNEL).T, du, precision), geometry.kernel_shape)
    # An entry at the border is not read by every tap, but is part of the transforms of all of them.
    return recompute_unless_finite(dk, dk, lambda _, x, g: _xla.kernel_grad(x, g, plan), x, g)


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
