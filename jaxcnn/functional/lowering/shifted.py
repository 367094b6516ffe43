"""A sum of shifted copies of the input, one per tap: for kernels whose every output channel reads one input channel.

On a CPU, XLA's own depthwise convolution walks the channels one by one; this is one fused loop over the output.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional.dtypes import accumulator_dtype
from jaxcnn.functional.lowering.linear import transposed_kernel_grad
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for, tap_slice
from jaxcnn.shapes.conv import ConvGeometry


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """``y = sum over taps k of padded_x[strides * o + dilation * k] * kernel[k]``, summed in float32 at least."""
    result = jnp.dtype(preferred_element_type or x.dtype)
    work = accumulator_dtype(result)
    channels, multiplier = geometry.in_channels, geometry.out_channels // geometry.in_channels
    z = padded_for(x, geometry)
    if multiplier > 1:
        z = lax.expand_dims(z, (z.ndim,))
    y = jnp.zeros((), work)
    for tap in itertools.product(*map(range, geometry.window)):
        weights = kernel[tap].reshape(channels, multiplier) if multiplier > 1 else kernel[tap].reshape(channels)
        shifted = tap_slice(z, tap, geometry)
        y = y + shifted.astype(work) * lax.broadcast(weights.astype(work), (1,) * (shifted.ndim - weights.ndim))
    return y.astype(result).reshape(geometry.out_shape)


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves one input channel per group, whatever the multiplier."""
    per_group = geometry.in_channels // geometry.groups
    return None if per_group == 1 else f"it wants one input channel per group, and there are {per_group}"


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    return 1e-5 + geometry.multiply_adds / 15e9


LOWERING = Lowering(
    name="shifted",
    unserved=_unserved,
    estimate=_estimate,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, forward),
    partitions=frozenset({"forward", "kernel_grad"}),
)
