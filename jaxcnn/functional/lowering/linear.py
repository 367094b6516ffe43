"""The kernel gradient that any formulation of the forward map has: its linear transpose."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.lowering import Forward
from jaxcnn.functional.lowering.taps import kernel_grad_by_taps


def transposed_kernel_grad(
    forward: Forward, x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, precision: Any
) -> jax.Array:
    """The cotangent of the kernel by transposing ``forward``, which is linear in the kernel.

    JAX transposes no functions of integers, so those are summed tap by tap.
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return kernel_grad_by_taps(x, g, geometry)

    def compute(kernel: jax.Array) -> jax.Array:
        return forward(x, kernel, geometry, precision=precision, preferred_element_type=None)

    return jax.linear_transpose(compute, zeros_like_product(geometry.kernel_shape, x, g))(g)[0]


def zeros_like_product(shape: tuple[int, ...], *operands: jax.Array) -> jax.Array:
    """Zeros of the dtype of the operands that vary over whatever mesh axes the operands vary over.

    Under ``shard_map`` a constant is the same on every device, so the transpose of a function of a constant would
    sum over devices, and a loop's carry that starts as one may not become anything else. An empty sum of each operand
    makes the zeros local, as the operands are.
    """
    zeros = jnp.zeros(shape, operands[0].dtype)
    for operand in operands:
        zeros += jnp.sum(lax.slice_in_dim(operand, 0, 0, axis=operand.ndim - 1))
    return zeros
