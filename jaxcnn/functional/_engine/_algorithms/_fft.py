"""The convolution theorem: a product of spectra, for large windows.

The error of each output is relative to the norm of the whole input, not to the entries that it reads: a quiet part of a
signal has the error of the loudest part, and one infinity or NaN makes every output NaN. So it is used by name only.
"""

import functools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry, fast_length
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._taps import padded_for, tap_slice
from jaxcnn.functional._engine._algorithms._transposition import transposed_kernel_grad
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

INEXACT = "its error is relative to the largest entry of the whole input, and one infinity spreads over all of it"
TRANSFORM, PRODUCT = 2.3e-9, 2.5e-10  # seconds per entry and per complex product


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y = inverse(X * conj(K))`` over the padded input, from which the strides then select.

    The transform is at least as long as the padded input, so that no window wraps round.
    Half precision is computed in float32.
    """
    geometry, result = plan.geometry, plan.out_dtype
    work = accumulator_dtype(result)
    first, ndim = len(geometry.batch_shape), geometry.ndim
    z = padded_for(x.astype(work), geometry)
    lengths = tuple(map(fast_length, z.shape[first : first + ndim]))
    axes = tuple(range(first, first + ndim))
    gaps = [(0, 0, dilation - 1) for dilation in geometry.kernel_dilation]
    taps = lax.pad(kernel.astype(work), jnp.zeros((), work), [*gaps, (0, 0, 0), (0, 0, 0)])
    if jnp.issubdtype(work, jnp.complexfloating):
        signal = jnp.fft.fftn(z, lengths, axes)
        response = jnp.conj(jnp.fft.fftn(jnp.conj(taps), lengths, range(ndim)))
        y = jnp.fft.ifftn(_multiply(signal, response, geometry, plan.precision), lengths, axes)
    else:
        signal = jnp.fft.rfftn(z, lengths, axes)
        response = jnp.conj(jnp.fft.rfftn(taps, lengths, tuple(range(ndim))))
        y = jnp.fft.irfftn(_multiply(signal, response, geometry, plan.precision), lengths, axes)
    return tap_slice(y, (0,) * ndim, geometry).astype(result)


def _multiply(signal: jax.Array, response: jax.Array, geometry: ConvGeometry, precision: Any) -> jax.Array:
    """``(*batch, *frequencies, in)`` times ``(*frequencies, in // groups, out)``, frequency by frequency."""
    batch, ndim, groups = signal.ndim - geometry.ndim - 1, geometry.ndim, geometry.groups
    inputs, outputs = geometry.in_channels // groups, geometry.out_channels // groups
    signal = lax.reshape(signal, (*signal.shape[:-1], groups, inputs))
    response = lax.reshape(response, (*response.shape[:-1], groups, outputs))
    response = lax.transpose(response, (*range(ndim), ndim + 1, ndim, ndim + 2))
    if inputs == 1:
        product = signal * lax.expand_dims(response[..., 0, :], range(batch))
    else:
        product = lax.dot_general(
            signal,
            response,
            (((signal.ndim - 1,), (ndim + 1,)), (tuple(range(batch, batch + ndim + 1)), tuple(range(ndim + 1)))),
            precision=precision,
        )
        back = range(ndim + 1, ndim + 1 + batch)
        product = lax.transpose(product, (*back, *range(ndim + 1), product.ndim - 1))
    return lax.reshape(product, (*product.shape[:-2], geometry.out_channels))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports floating and complex numbers over one to three spatial axes."""
    if plan.geometry.ndim > 3:
        return f"it requires at most 3 spatial axes, and there are {plan.geometry.ndim}"
    if not jnp.issubdtype(plan.dtype, jnp.inexact):
        return f"it rounds, so it requires floating or complex numbers, not {plan.dtype}"
    return None


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The entries that are transformed, of both operands and the result, and a complex product per frequency."""
    geometry = plan.geometry
    entries = prod(fast_length(n + sum(p)) for n, p in zip(geometry.dilated_sizes, geometry.pads, strict=True))
    images, pairs = prod(geometry.batch_shape), geometry.in_channels // geometry.groups * geometry.out_channels
    transformed = images * (geometry.in_channels + geometry.out_channels) + pairs
    seconds = 1e-4 + entries * (TRANSFORM * transformed + PRODUCT * images * pairs)
    return 1.6 * seconds if operation == "kernel_grad" and geometry.groups == 1 else seconds


ALGORITHM = Algorithm(
    name="fft",
    inexact=lambda plan, operation: INEXACT,
    unsupported=_unsupported,
    estimate=_estimate,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, forward),
    partitionable=frozenset({"forward", "kernel_grad"}),
)
