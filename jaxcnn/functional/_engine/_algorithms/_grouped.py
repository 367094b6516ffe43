"""A grouped convolution as a few dense ones over blocks of groups, concatenated.

On a CPU, XLA's own grouped convolution has a fraction of the speed of a dense one, its kernel gradient less than a
hundredth. Merging groups into a block whose kernel is zero off the diagonal computes products with zero, but the matrix
products become wide enough to be fast. No axis mixes batch and groups, so under a mesh a sharded batch stays sharded in
every derivative.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import groups_per_block
from jaxcnn.functional._engine._algorithms import _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._algorithms._transposition import transposed_kernel_grad
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """One dense convolution per block of groups.

    A block multiplies the entries of other groups by zero. All output channels of the block read them, so that one
    channel of each block shows whether one of them is not finite.
    """
    geometry = plan.geometry
    y = _by_blocks(x, kernel, plan)
    merged = groups_per_block(geometry)
    if merged == 1 or not jnp.issubdtype(y.dtype, jnp.inexact):
        return y
    witness = lax.slice_in_dim(y, 0, None, geometry.out_channels // geometry.groups * merged, axis=y.ndim - 1)
    recompute = functools.partial(_one_group_of_each_block, plan=plan)
    return recompute_unless_finite(y, witness, recompute, x, kernel)


def _one_group_of_each_block(y: jax.Array, x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """The blocks once for each group of a block, with zeros in place of the other groups; all of ``y`` is replaced."""
    groups, merged = plan.geometry.groups, groups_per_block(plan.geometry)

    def select(a: jax.Array, index: jax.Array, other: jax.Array) -> jax.Array:
        places = jnp.arange(a.shape[-1], dtype=jnp.int32) // (a.shape[-1] // groups) % merged
        # Added to zeros that are sharded as ``a`` is.
        own = jnp.zeros_like(a, jnp.int32) + lax.expand_dims(places, range(a.ndim - 1)) == index
        return jnp.where(own, a, other)

    def add_group(index: jax.Array, y: jax.Array) -> jax.Array:
        own = _by_blocks(select(x, index, jnp.zeros_like(x)), kernel, plan)
        return select(own, index, y)

    return lax.fori_loop(0, merged, add_group, y)


def _by_blocks(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    geometry, merged = plan.geometry, groups_per_block(plan.geometry)
    block = geometry.group_block(merged)
    outputs = []
    for index in range(geometry.groups // merged):
        part = lax.slice_in_dim(
            kernel, index * block.out_channels, (index + 1) * block.out_channels, axis=kernel.ndim - 1
        )
        read = lax.slice_in_dim(x, index * block.in_channels, (index + 1) * block.in_channels, axis=x.ndim - 1)
        outputs.append(_xla.forward(read, _block_diagonal(part, merged), plan.with_geometry(block)))
    return lax.concatenate(outputs, x.ndim - 1)


def _block_diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """``(*window, i, groups * o)`` to the dense ``(*window, groups * i, groups * o)`` that is zero off the diagonal."""
    if groups == 1:
        return kernel
    *window, inputs, outputs = kernel.shape
    own = lax.expand_dims(np.eye(groups, dtype=bool)[:, None, :, None], range(len(window)))
    split = lax.reshape(kernel, (*window, 1, inputs, groups, outputs // groups))
    dense = jnp.where(own, split, jnp.zeros((), kernel.dtype))  # not a product: zero times NaN is NaN
    return lax.reshape(dense, (*window, groups * inputs, outputs))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports more than one group."""
    return None if plan.geometry.groups > 1 else "it requires more than one group"


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The multiply-adds of the blocks, zeros included, at a rate that grows with their width, and the bytes."""
    geometry, merged = plan.geometry, groups_per_block(plan.geometry)
    width = min(geometry.in_channels, geometry.out_channels) // geometry.groups * merged
    seconds = geometry.multiply_adds * merged / (10e9 * min(width, 128) ** 0.5) + plan.bytes_moved / 10e9
    return 1e-5 + 2e-5 * geometry.groups / merged + seconds * (1.4 if operation == "kernel_grad" else 1)


ALGORITHM = Algorithm(
    name="grouped",
    unsupported=_unsupported,
    estimate=_estimate,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, _by_blocks),
    partitionable=frozenset({"forward", "kernel_grad"}),
)
