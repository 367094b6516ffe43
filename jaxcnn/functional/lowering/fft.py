"""The convolution theorem: a product of spectra, for windows so large that every tap on its own costs more.

The error of each output is relative to the norm of the whole input, not to the entries that it reads: a quiet part of a
signal has the error of its loudest, and one infinity or NaN makes every output NaN. So it is used by name only.
"""

import functools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._geometry import ConvGeometry, fast_length
from jaxcnn.functional.lowering.linear import transposed_kernel_grad
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for, tap_slice

INEXACT = "its error is relative to the largest entry of the whole input, and one infinity spreads over all of it"
TRANSFORM, PRODUCT = 2.3e-9, 2.5e-10  # seconds per number and per complex product


def forward(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """``y = inverse(X * conj(K))`` over the padded input, of which the strides then keep every so many.

    The transform is at least as long as the padded input, so that no position the window may stand on wraps round.
    Half precision is computed in float32.
    """
    result = jnp.dtype(preferred_element_type or x.dtype)
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
        y = jnp.fft.ifftn(_multiply(signal, response, geometry, precision), lengths, axes)
    else:
        signal = jnp.fft.rfftn(z, lengths, axes)
        response = jnp.conj(jnp.fft.rfftn(taps, lengths, tuple(range(ndim))))
        y = jnp.fft.irfftn(_multiply(signal, response, geometry, precision), lengths, axes)
    return tap_slice(y, (0,) * ndim, geometry).astype(result)


def _multiply(signal: jax.Array, response: jax.Array, geometry: ConvGeometry, precision: Any) -> jax.Array:
    """``(*batch, *frequencies, in)`` times ``(*frequencies, in // groups, out)``, frequency by frequency."""
    batch, ndim, groups = signal.ndim - geometry.ndim - 1, geometry.ndim, geometry.groups
    reads, writes = geometry.in_channels // groups, geometry.out_channels // groups
    signal = lax.reshape(signal, (*signal.shape[:-1], groups, reads))
    response = lax.reshape(response, (*response.shape[:-1], groups, writes))
    response = lax.transpose(response, (*range(ndim), ndim + 1, ndim, ndim + 2))
    if reads == 1:
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


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves floating and complex numbers over one to three spatial axes."""
    if geometry.ndim > 3:
        return f"it wants at most 3 spatial axes, and there are {geometry.ndim}"
    if not jnp.issubdtype(dtype, jnp.inexact):
        return f"it rounds, so it wants floating or complex numbers, not {jnp.dtype(dtype)}"
    return None


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """Every number that is transformed, of both operands and the result, and a complex product per frequency."""
    entries = prod(fast_length(n + sum(p)) for n, p in zip(geometry.dilated_sizes, geometry.pads, strict=True))
    images, pairs = prod(geometry.batch_shape), geometry.in_channels // geometry.groups * geometry.out_channels
    transformed = images * (geometry.in_channels + geometry.out_channels) + pairs
    seconds = 1e-4 + entries * (TRANSFORM * transformed + PRODUCT * images * pairs)
    return 1.6 * seconds if operation == "kernel_grad" and geometry.groups == 1 else seconds


LOWERING = Lowering(
    name="fft",
    inexact=lambda geometry, operation: INEXACT,
    unserved=_unserved,
    estimate=_estimate,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, forward),
    partitions=frozenset({"forward", "kernel_grad"}),
)
