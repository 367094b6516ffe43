"""Multiply-adds over taps and input channels, each broadcast along the output channels: for very few channels.

A matrix product a few numbers deep spends its time on its frame. This is one fused loop over the output.
"""

import itertools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.counts import count_dense, why_not_dense
from jaxcnn.functional.lowering.linear import zeros_like_product
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for, tap_slice

MOST_TERMS = 160  # terms of the sum, each of them code to compile


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """``y = sum over taps k and channels i of padded_x[strides * o + dilation * k, i] * kernel[k, i]``."""
    result = jnp.dtype(preferred_element_type or x.dtype)
    z, half = padded_for(x, geometry), x.shape[0] // 2
    if x.shape[0] % 2:
        return _sum_of_terms(z, kernel, geometry, result)

    def body(index: jax.Array, y: jax.Array) -> jax.Array:
        part = lax.dynamic_slice_in_dim(z, index * half, half)
        return lax.dynamic_update_slice_in_dim(
            y, _sum_of_terms(part, kernel, geometry.with_batch(half), result), index * half, 0
        )

    # A loop is what XLA does not fuse into whatever reads the result: a pool that does would compute it once per tap.
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


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves one group and a sum of few terms."""
    if _terms(geometry) > MOST_TERMS:
        return f"it wants at most {MOST_TERMS} taps times channels, and there are {_terms(geometry)}"
    return why_not_dense(geometry)


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """Each term adds to the pressure on registers, and one channel of many is read with a long step."""
    n = count_dense(geometry)
    exact = geometry.multiply_adds
    return 1e-4 + exact * (1.15e-11 + 5e-13 * _terms(geometry) + 2.6e-11 * n.reads / n.writes)


LOWERING = Lowering(name="broadcast", unserved=_unserved, estimate=_estimate, forward=forward)
