"""A 1x1 convolution as the matrix product that it is."""

from math import prod
from typing import Any

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.counts import count_dense
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for, tap_slice


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """Contracts the channels of every position that the strides keep."""
    read = tap_slice(padded_for(x, geometry), (0,) * geometry.ndim, geometry)
    return lax.dot_general(
        read,
        lax.reshape(kernel, kernel.shape[-2:]),
        (((read.ndim - 1,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def kernel_grad(x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, precision: Any) -> jax.Array:
    """Contracts every position that the strides keep."""
    read = tap_slice(padded_for(x, geometry), (0,) * geometry.ndim, geometry)
    summed = tuple(range(read.ndim - 1))
    dk = lax.dot_general(
        read,
        g,
        ((summed, summed), ((), ())),
        precision=precision,
        preferred_element_type=accumulator_dtype(x.dtype),
        out_sharding=_summed_over_devices(x, g),
    )
    return lax.reshape(dk, geometry.kernel_shape).astype(x.dtype)


def _summed_over_devices(x: jax.Array, g: jax.Array) -> NamedSharding | None:
    """Where the types say that positions are split over devices, the whole sum on each of them."""
    specs = [jax.typeof(operand).sharding.spec for operand in (x, g)]
    if all(entry is None for spec in specs for entry in spec[:-1]):
        return None
    return NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec(specs[0][-1], specs[1][-1]))


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves windows of one position and one group."""
    if any(entry != 1 for entry in geometry.window):
        return f"it wants a window of one position, and this one is {geometry.window}"
    if geometry.groups != 1:
        return f"it wants one group, and there are {geometry.groups}"
    return None


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    n = count_dense(geometry)
    dilated = prod(geometry.input_dilation)
    if operation == "kernel_grad":
        return 1e-4 + 9.9e-12 * n.positions * n.reads * n.writes + 2.3e-10 * n.arrays
    copied = n.positions * n.reads if dilated > 1 else 0  # zeros between entries are read like any others
    return 9e-5 + 9.3e-12 * n.positions * n.reads * n.writes + 5.6e-11 * n.arrays + 5e-10 * copied


LOWERING = Lowering(
    name="matmul",
    unserved=_unserved,
    estimate=_estimate,
    forward=forward,
    kernel_grad=kernel_grad,
    partitions=frozenset({"forward", "kernel_grad"}),
)
