"""Multiply-adds over taps and input channels, each broadcast along the output channels, for very few channels.

The overhead of a matrix product exceeds its arithmetic if it sums only a few entries. This is one fused loop over the
output.
"""

import itertools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_dense
from jaxcnn.functional._engine._algorithms._taps import padded_for, tap_slice
from jaxcnn.functional._engine._algorithms._transposition import zeros_like_product
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

MAXIMUM_TERMS = 160  # of the sum; each is code to compile


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y = sum over taps k and channels i of padded_x[strides * o + dilation * k, i] * kernel[k, i]``."""
    geometry, result = plan.geometry, plan.out_dtype
    z, half = padded_for(x, geometry), x.shape[0] // 2
    if x.shape[0] % 2:
        return _sum_of_terms(z, kernel, geometry, result)

    def body(index: jax.Array, y: jax.Array) -> jax.Array:
        part = lax.dynamic_slice_in_dim(z, index * half, half)
        return lax.dynamic_update_slice_in_dim(
            y, _sum_of_terms(part, kernel, geometry.with_batch(half), result), index * half, 0
        )

    # XLA does not fuse a loop into the operation that reads the result. A pool that it fused this with would compute it
    # once for each position of the pool's window.
    return lax.fori_loop(0, 2, body, zeros_like_product(geometry.out_shape, x, kernel).astype(result))


def _sum_of_terms(z: jax.Array, kernel: jax.Array, geometry: ConvGeometry, result: Any) -> jax.Array:
    work = accumulator_dtype(result)
    y = jnp.zeros((), work)
    for tap in itertools.product(*map(range, geometry.window)):
        shifted = tap_slice(z, tap, geometry).astype(work)
        for channel in range(geometry.in_channels):
            weights = kernel[tap][channel].astype(work)
            y = y + shifted[..., channel : channel + 1] * lax.broadcast(weights, (1,) * (z.ndim - 1))
    return y.astype(result)


def _terms(geometry: ConvGeometry) -> int:
    return prod(geometry.window) * geometry.in_channels


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one group and a sum of few terms."""
    if _terms(plan.geometry) > MAXIMUM_TERMS:
        return f"it requires at most {MAXIMUM_TERMS} taps times channels, and there are {_terms(plan.geometry)}"
    return why_not_dense(plan.geometry)


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """Each term occupies registers, and one channel of many is read with a large stride."""
    n = count_dense(plan.geometry)
    per_product = 1.15e-11 + 5e-13 * _terms(plan.geometry) + 2.6e-11 * n.in_channels / n.out_channels
    return 1e-4 + plan.geometry.multiply_adds * per_product


ALGORITHM = Algorithm(name="broadcast", unsupported=_unsupported, estimate=_estimate, forward=forward)
