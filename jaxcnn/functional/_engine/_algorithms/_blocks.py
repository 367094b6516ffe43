"""Grouped convolutions as dense ones over blocks of groups.

Merging groups into a block whose kernel is zero off the diagonal computes products with zero, but the matrix products
become wide enough to be fast.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import ConvGeometry, groups_per_block
from jaxcnn.functional._engine._algorithms._algorithm import Forward, KernelGrad
from jaxcnn.functional._engine._plan import ConvPlan


def block_of(geometry: ConvGeometry) -> tuple[ConvGeometry, int]:
    """The dense convolution of one block, and the number of blocks."""
    merged = groups_per_block(geometry)
    return geometry.group_block(merged), geometry.groups // merged


def forward_by_blocks(dense: Forward, x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """The outputs of all blocks, concatenated.

    The entries of the other groups of a block are multiplied by zero.
    """
    block, count = block_of(plan.geometry)
    outputs = []
    for index in range(count):
        part = _block_diagonal(_channels(kernel, index, block.out_channels), plan.geometry.groups // count)
        outputs.append(dense(_channels(x, index, block.in_channels), part, plan.with_geometry(block)))
    return lax.concatenate(outputs, x.ndim - 1)


def kernel_grad_by_blocks(dense: KernelGrad, x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The blocks on the diagonals of the kernel gradients of all blocks, concatenated."""
    block, count = block_of(plan.geometry)
    merged = plan.geometry.groups // count
    parts = []
    for index in range(count):
        read, part = _channels(x, index, block.in_channels), _channels(g, index, block.out_channels)
        dk = dense(read, part, plan.with_geometry(block))
        for group in range(merged):
            rows = lax.slice_in_dim(dk, *_range(group, block.in_channels // merged), axis=dk.ndim - 2)
            parts.append(_channels(rows, group, block.out_channels // merged))
    return lax.concatenate(parts, x.ndim - 1)


def _range(index: int, size: int) -> tuple[int, int]:
    return index * size, (index + 1) * size


def _channels(a: jax.Array, index: int, size: int) -> jax.Array:
    """Block ``index`` of the last axis."""
    return lax.slice_in_dim(a, *_range(index, size), axis=a.ndim - 1)


def _block_diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """``(*window, i, groups * o)`` to the dense ``(*window, groups * i, groups * o)`` that is zero off the diagonal."""
    if groups == 1:
        return kernel
    *window, inputs, outputs = kernel.shape
    own = lax.expand_dims(np.eye(groups, dtype=bool)[:, None, :, None], range(len(window)))
    split = lax.reshape(kernel, (*window, 1, inputs, groups, outputs // groups))
    dense = jnp.where(own, split, jnp.zeros((), kernel.dtype))  # not a product: zero times NaN is NaN
    return lax.reshape(dense, (*window, groups * inputs, outputs))
