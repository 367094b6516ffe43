"""A sum of shifted copies of the input, one per tap: for kernels whose every output channel reads one input channel.

On a CPU, XLA's own depthwise convolution walks the channels one by one; this is one fused loop over the output.
"""

import dataclasses
import functools
import itertools
from math import prod
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
    """``y = sum over taps k of padded_x[strides * o + dilation * k] * kernel[k]``, summed in float32 at least.

    Where ``x`` is dilated, as in the way back of strides, every so many outputs read the same taps: each of these
    phases is a sum over its own taps and the input as it is, so that no zero is multiplied.
    """
    result = jnp.dtype(preferred_element_type or x.dtype)
    if not has_phases(geometry):
        return _sum_taps(x, kernel, geometry, result)
    batch, ndim = len(geometry.batch_shape), geometry.ndim
    phases = []
    for firsts in itertools.product(*map(range, geometry.input_dilation)):
        inner, taps = _phase(geometry, firsts)
        if 0 in inner.window:
            phases.append(jnp.zeros(inner.out_shape, result))
        else:
            phases.append(_sum_taps(x, kernel[taps], inner, result))
    y = lax.reshape(jnp.stack(phases), (*geometry.input_dilation, *phases[0].shape))
    pairs = [axis for n in range(ndim) for axis in (ndim + batch + n, n)]
    y = lax.transpose(y, (*range(ndim, ndim + batch), *pairs, y.ndim - 1))
    long = [out * d for out, d in zip(inner.out_sizes, geometry.input_dilation, strict=True)]
    y = lax.reshape(y, (*geometry.batch_shape, *long, geometry.out_channels))
    return lax.slice(y, (0,) * y.ndim, geometry.out_shape)


def has_phases(geometry: ConvGeometry) -> bool:
    """Whether the input is dilated and nothing else is."""
    return max(geometry.input_dilation) > 1 == max((*geometry.strides, *geometry.kernel_dilation))


def _phase(geometry: ConvGeometry, firsts: tuple[int, ...]) -> tuple[ConvGeometry, tuple[slice, ...]]:
    """The convolution that makes outputs ``first``, ``first + dilation``, ..., and the taps that it reads.

    Output ``dilation * a + first`` reads entry ``a + (first + k - before) / dilation`` through tap ``k``.
    """
    columns = zip(firsts, geometry.input_dilation, geometry.pads, strict=True)
    taps = tuple(slice((before - first) % dilation, None, dilation) for first, dilation, (before, _) in columns)
    window = tuple(len(range(*t.indices(w))) for t, w in zip(taps, geometry.window, strict=True))
    outs = tuple(-(-out // d) for out, d in zip(geometry.out_sizes, geometry.input_dilation, strict=True))
    pads = []
    for first, dilation, t, w, size, out, (before, _) in zip(
        firsts, geometry.input_dilation, taps, window, geometry.sizes, outs, geometry.pads, strict=True
    ):
        skipped = (first + t.start - before) // dilation
        pads.append((-skipped, out + w - 1 - size + skipped))
    ones = (1,) * geometry.ndim
    return dataclasses.replace(geometry, window=window, pads=tuple(pads), input_dilation=ones, out_sizes=outs), taps


def _sum_taps(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, result: Any) -> jax.Array:
    """All taps in one loop over the output."""
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
    """The multiply-adds and the bytes; the transposed map, which is the kernel gradient here, sums without vectors."""
    macs, moved = (
        geometry.multiply_adds,
        jnp.dtype(dtype).itemsize * (prod(geometry.x_shape) + prod(geometry.out_shape)),
    )
    if operation == "kernel_grad":
        return 1e-5 + macs / 1e9
    if has_phases(geometry):
        return 5e-5 + macs / prod(geometry.input_dilation) / 26e9 + moved / 15e9
    return 1e-5 + macs / 26e9 + moved / 32e9


LOWERING = Lowering(
    name="shifted",
    unserved=_unserved,
    estimate=_estimate,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, forward),
    partitions=frozenset({"forward", "kernel_grad"}),
)
