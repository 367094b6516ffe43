"""A matrix product over channels, for windows of one position."""

from math import prod

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import count_dense
from jaxcnn.functional._engine._algorithms._taps import padded_for, tap_slice
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """Contracts the channels of every position that the strides select."""
    geometry = plan.geometry
    read = tap_slice(padded_for(x, geometry), (0,) * geometry.ndim, geometry)
    return lax.dot_general(
        read,
        lax.reshape(kernel, kernel.shape[-2:]),
        (((read.ndim - 1,), (0,)), ((), ())),
        precision=plan.precision,
        preferred_element_type=plan.preferred_element_type,
    )


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """Contracts the positions that the strides select."""
    geometry = plan.geometry
    read = tap_slice(padded_for(x, geometry), (0,) * geometry.ndim, geometry)
    summed = tuple(range(read.ndim - 1))
    dk = lax.dot_general(
        read,
        g,
        ((summed, summed), ((), ())),
        precision=plan.precision,
        preferred_element_type=accumulator_dtype(x.dtype),
        out_sharding=_summed_over_devices(x, g),
    )
    return lax.reshape(dk, geometry.kernel_shape).astype(x.dtype)


def _summed_over_devices(x: jax.Array, g: jax.Array) -> NamedSharding | None:
    """The sharding of a result that is whole on every device; None if positions are not sharded in a type."""
    specs = [jax.typeof(operand).sharding.spec for operand in (x, g)]
    if all(entry is None for spec in specs for entry in spec[:-1]):
        return None
    return NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec(specs[0][-1], specs[1][-1]))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports windows of one position and one group."""
    geometry = plan.geometry
    if any(entry != 1 for entry in geometry.window):
        return f"it requires a window of one position, and this one is {geometry.window}"
    if geometry.groups != 1:
        return f"it requires one group, and there are {geometry.groups}"
    return None


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    n = count_dense(plan.geometry)
    dilated = prod(plan.geometry.input_dilation)
    if operation == "kernel_grad":
        return 1e-4 + 9.9e-12 * n.positions * n.in_channels * n.out_channels + 2.3e-10 * n.arrays
    copied = n.positions * n.in_channels if dilated > 1 else 0  # the zeros of a dilated input are made and read
    products = n.products * dilated  # a vector of output channels is computed whole
    return 9e-5 + 9.3e-12 * products + 5.6e-11 * n.arrays + 5e-10 * copied


ALGORITHM = Algorithm(
    name="matmul",
    unsupported=_unsupported,
    estimate=_estimate,
    forward=forward,
    kernel_grad=kernel_grad,
    partitionable=frozenset({"forward", "kernel_grad"}),
)
