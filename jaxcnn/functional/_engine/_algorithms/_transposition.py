"""Transposed kernels, and kernel gradients as the transpose of a forward operation."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional._engine._algorithms._algorithm import Forward
from jaxcnn.functional._engine._algorithms._taps import kernel_grad_by_taps
from jaxcnn.functional._engine._plan import ConvPlan


def transpose_kernel(kernel: jax.Array, groups: int) -> jax.Array:
    """Reverses the window and swaps the channels of each group: ``(*window, i, g * o)`` to ``(*window, o, g * i)``.

    It is its own inverse.
    """
    ndim = kernel.ndim - 2
    per_group = kernel.shape[-1] // groups
    split = lax.reshape(lax.rev(kernel, range(ndim)), (*kernel.shape[:-1], groups, per_group))
    swapped = lax.transpose(split, (*range(ndim), ndim + 2, ndim + 1, ndim))
    return lax.reshape(swapped, (*kernel.shape[:-2], per_group, groups * kernel.shape[-2]))


def transposed_kernel_grad(forward: Forward, x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The kernel's cotangent, by transposing ``forward``, which is linear in the kernel.

    JAX does not transpose functions of integers, so those are summed tap by tap.
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return kernel_grad_by_taps(x, g, plan.geometry)
    plan = dataclasses.replace(plan, preferred_element_type=None)
    zeros = zeros_like_product(plan.geometry.kernel_shape, x, g)
    return jax.linear_transpose(lambda kernel: forward(x, kernel, plan), zeros)(g)[0]


def zeros_like_product(shape: tuple[int, ...], *operands: jax.Array) -> jax.Array:
    """Zeros of the dtype of the operands that vary over the mesh axes over which an operand varies.

    Under ``shard_map`` a constant is equal on all devices, so the transpose of a function of a constant would sum over
    devices, and the carry of a loop that starts as a constant must stay one. Adding an empty sum of each operand makes
    the zeros vary as the operands do.
    """
    zeros = jnp.zeros(shape, operands[0].dtype)
    for operand in operands:
        zeros += jnp.sum(lax.slice_in_dim(operand, 0, 0, axis=operand.ndim - 1), dtype=operand.dtype)
    return zeros
