"""A grouped convolution as a few dense ones over blocks of groups, concatenated.

On a CPU, XLA's own grouped convolution has a fraction of the speed of a dense one, its kernel gradient less than a
hundredth. No axis mixes batch and groups, so under a mesh a sharded batch stays sharded in every derivative.
"""

import functools
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry, groups_per_block
from jaxcnn.functional._engine._algorithms import _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._blocks import block_of, forward_by_blocks
from jaxcnn.functional._engine._algorithms._counts import count_dense
from jaxcnn.functional._engine._algorithms._finite import recompute_unless_finite
from jaxcnn.functional._engine._algorithms._transposition import transposed_kernel_grad
from jaxcnn.functional._engine._algorithms._xla_cost import dense_seconds
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """One dense convolution per block of groups.

    A block multiplies the entries of other groups by zero. All output channels of the block read them, so that one
    channel of each block shows whether one of them is not finite.
    """
    geometry = plan.geometry
    y = forward_by_blocks(_xla.forward, x, kernel, plan)
    merged = groups_per_block(geometry)
    if merged == 1 or not jnp.issubdtype(y.dtype, jnp.inexact):
        return y
    witness = lax.slice_in_dim(y, 0, None, geometry.out_channels // geometry.groups * merged, axis=y.ndim - 1)
    recompute = functools.partial(_one_group_of_each_block, plan=plan)
    return recompute_unless_finite(y, witness, recompute, x, kernel)


def _one_group_of_each_block(y: jax.Array, x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """All blocks, once for each group of a block with zeros in place of the other groups; replaces all of ``y``."""
    groups, merged = plan.geometry.groups, groups_per_block(plan.geometry)

    def select(a: jax.Array, index: jax.Array, other: jax.Array) -> jax.Array:
        places = jnp.arange(a.shape[-1], dtype=jnp.int32) // (a.shape[-1] // groups) % merged
        # Added to zeros that are sharded as ``a`` is.
        own = jnp.zeros_like(a, jnp.int32) + lax.expand_dims(places, range(a.ndim - 1)) == index
        return jnp.where(own, a, other)

    def add_group(index: jax.Array, y: jax.Array) -> jax.Array:
        own = forward_by_blocks(_xla.forward, select(x, index, jnp.zeros_like(x)), kernel, plan)
        return select(own, index, y)

    return lax.fori_loop(0, merged, add_group, y)


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports more than one group."""
    return None if plan.geometry.groups > 1 else "it requires more than one group"


def seconds(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """XLA's own time for all blocks, and the copies that cut and join the channels.

    Over one axis XLA packs all windows of a dilated input; an array of more than 32 MB is new memory in each call.
    """
    block, count = block_of(geometry)
    copied = prod(geometry.x_shape) + prod(geometry.out_shape)
    kernels = count * prod(block.kernel_shape)
    per_entry = 1.5e-9 if max(geometry.input_dilation) > 1 else 5e-10
    dense = (1.5 if operation == "kernel_grad" else 1) * dense_seconds(block, operation)
    if geometry.ndim == 1 and max(geometry.input_dilation) > 1:
        packed = prod(block.input_dilation) * count_dense(block).entries
        dense += 5.5e-10 * packed if 4 * packed > 2**25 else 0.0
    return 1e-5 + count * (dense - 5e-5) + per_entry * copied + 1e-9 * kernels


ALGORITHM = Algorithm(
    name="grouped",
    unsupported=_unsupported,
    estimate=lambda plan, operation: seconds(plan.geometry, operation),
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, functools.partial(forward_by_blocks, _xla.forward)),
    partitionable=frozenset({"forward", "kernel_grad"}),
)
