"""Multiply-adds over taps and input channels, each broadcast along the output channels, for very few channels.

The overhead of a matrix product exceeds its arithmetic if it sums only a few entries. This is one fused loop over the
output.
"""

import functools
import itertools
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._branch import in_branch
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_dense
from jaxcnn.functional._engine._algorithms._taps import padded_for, tap_slice
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

MAXIMUM_TERMS = 160  # of the sum; each is code to compile


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y = sum over taps k and channels i of padded_x[strides * o + dilation * k, i] * kernel[k, i]``."""
    z = padded_for(x, plan.geometry)
    return in_branch(
        functools.partial(_sum_of_terms, count=_terms(plan.geometry), plan=plan),
        functools.partial(_sum_of_terms, count=1, plan=plan),
        z,
        kernel,
    )


def _sum_of_terms(z: jax.Array, kernel: jax.Array, *, count: int, plan: ConvPlan) -> jax.Array:
    """The first ``count`` terms of the sum over taps and channels, in one loop over the output."""
    geometry, work = plan.geometry, accumulator_dtype(plan.out_dtype)
    y = jnp.zeros((), work)
    terms = itertools.product(itertools.product(*map(range, geometry.window)), range(geometry.in_channels))
    for tap, channel in itertools.islice(terms, count):
        read = tap_slice(lax.slice_in_dim(z, channel, channel + 1, axis=z.ndim - 1), tap, geometry)
        weights = lax.broadcast(kernel[tap][channel].astype(work), (1,) * (z.ndim - 1))
        y = y + read.astype(work) * weights
    return y.astype(plan.out_dtype)


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
    return 8e-5 + 0.8 * plan.geometry.multiply_adds * per_product


ALGORITHM = Algorithm(name="broadcast", unsupported=_unsupported, estimate=_estimate, forward=forward)
