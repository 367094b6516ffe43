"""One operation of a convolution, by the formulation that is asked for or chosen, from static facts alone."""

from math import prod
from typing import Any

import jax
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.choice import choose
from jaxcnn.functional.lowering.kernels import transpose_kernel
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.registry import LOWERINGS


def compute_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    geometry: ConvGeometry,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any,
    platform: str,
    partitioned: bool,
) -> jax.Array:
    """``y`` from ``x`` and ``kernel``."""
    lowering = _taken(geometry, x.dtype, "forward", algorithm, platform, partitioned)
    assert lowering.forward is not None
    options = {"precision": precision, "preferred_element_type": preferred_element_type}
    if partitioned or len(geometry.batch_shape) == 1:
        return lowering.forward(x, kernel, geometry, **options)
    one = geometry.with_batch(prod(geometry.batch_shape))
    return lax.reshape(lowering.forward(lax.reshape(x, one.x_shape), kernel, one, **options), geometry.out_shape)


def compute_kernel_grad(
    x: jax.Array,
    g: jax.Array,
    *,
    geometry: ConvGeometry,
    algorithm: str,
    precision: Any,
    platform: str,
    partitioned: bool,
) -> jax.Array:
    """The cotangent of the kernel from ``x`` and the cotangent of ``y``."""
    options = {"algorithm": algorithm, "precision": precision, "platform": platform, "partitioned": partitioned}
    if exchanges_operands(geometry):
        dk = compute_kernel_grad(g, x, geometry=geometry.transposed(), **options)
        return transpose_kernel(dk, geometry.groups)
    lowering = _taken(geometry, x.dtype, "kernel_grad", algorithm, platform, partitioned)
    assert lowering.kernel_grad is not None
    if partitioned or len(geometry.batch_shape) == 1:
        return lowering.kernel_grad(x, g, geometry, precision=precision)
    one = geometry.with_batch(prod(geometry.batch_shape))
    return lowering.kernel_grad(lax.reshape(x, one.x_shape), lax.reshape(g, one.out_shape), one, precision=precision)


def exchanges_operands(geometry: ConvGeometry) -> bool:
    """Whether the kernel gradient is computed as that of the transposed convolution, with ``x`` and ``g`` exchanged.

    The gradient of the transposed kernel is the transposed gradient. It is better where ``x`` is dilated and the
    strides are 1, as in a transposed convolution.
    """
    return max(geometry.input_dilation) > 1 == max(geometry.strides)


def _taken(
    geometry: ConvGeometry, dtype: Any, operation: Operation, algorithm: str, platform: str, partitioned: bool
) -> Lowering:
    """The formulation asked for, where it serves (it may not serve the derivative of what it was asked for)."""
    if algorithm != "auto":
        asked = LOWERINGS[algorithm]
        able = operation in asked.partitions or not partitioned
        if able and asked.why_not(geometry, dtype, operation) is None:
            return asked
    return LOWERINGS[choose(geometry, dtype, operation, platform=platform, partitioned=partitioned).algorithm]
