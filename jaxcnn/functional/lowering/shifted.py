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

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.linear import transposed_kernel_grad, zeros_like_product
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for, tap_slice

FEW_TAPS = 16  # in a sum of this many XLA:CPU finds nothing that it would rather compute elsewhere
MANY_TAPS = 128  # a sum of more is a loop over rows of taps: written out it takes seconds to compile, and runs slower
TAPS_OF_A_TURN = 32


def forward(
    x: jax.Array,
    kernel: jax.Array,
    geometry: ConvGeometry,
    *,
    precision: Any,
    preferred_element_type: Any,
    apart: bool = True,
) -> jax.Array:
    """``y = sum over taps k of padded_x[strides * o + dilation * k] * kernel[k]``, summed in float32 at least.

    Where ``x`` is dilated, as in the way back of strides, every so many outputs read the same taps: each of these
    phases is a sum over its own taps and the input as it is, so that no zero is multiplied.

    Unless ``apart`` is False, the sum of many taps is kept out of the fusions of whatever reads it.
    """
    result = jnp.dtype(preferred_element_type or x.dtype)
    apart = apart and jnp.issubdtype(kernel.dtype, jnp.floating)
    if not has_phases(geometry):
        return _sum(x, kernel, geometry, result, apart)
    batch, ndim = len(geometry.batch_shape), geometry.ndim
    phases = []
    for firsts in itertools.product(*map(range, geometry.input_dilation)):
        inner, taps = _phase(geometry, firsts)
        if 0 in inner.window:
            phases.append(jnp.zeros(inner.out_shape, result))
        else:
            phases.append(_sum(x, kernel[taps], inner, result, apart))
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


def _sum(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, result: Any, apart: bool) -> jax.Array:
    """The sum over all taps, behind a branch where they are many.

    XLA:CPU fuses a long sum with a reduction that follows, such as a norm's, only in part, and writes each tap of the
    rest to memory, broadcast to the size of the output (jax 0.10.2 and 0.12.0). It fuses nothing across a branch that
    it cannot decide; the other side of this one is never taken, and has one tap, which is of the type of the sum.
    """
    count = prod(geometry.window)
    if count > MANY_TAPS:
        return _sum_by_rows(x, kernel, geometry, result)
    taps = functools.partial(_first_taps, geometry=geometry, result=result)
    if not apart or count <= FEW_TAPS:
        return taps(x, kernel, count)
    return lax.cond(_is_true(kernel), lambda x, k: taps(x, k, count), lambda x, k: taps(x, k, 1), x, kernel)


def _is_true(array: jax.Array) -> jax.Array:
    """True, as a value that XLA does not work out: an integer whose lowest bit is set is not zero."""
    bits = lax.bitcast_convert_type(jnp.sum(array), jnp.dtype(f"uint{8 * array.dtype.itemsize}"))
    return (bits | 1) != 0


def _first_taps(x: jax.Array, kernel: jax.Array, count: int, *, geometry: ConvGeometry, result: Any) -> jax.Array:
    """The first ``count`` taps in one loop over the output."""
    y = _unrolled(_by_multiples(padded_for(x, geometry), geometry), kernel, geometry, accumulator_dtype(result), count)
    return y.astype(result).reshape(geometry.out_shape)


def _unrolled(z: jax.Array, kernel: jax.Array, geometry: ConvGeometry, work: Any, count: int | None) -> jax.Array:
    y = jnp.zeros((), work)
    for tap in itertools.islice(itertools.product(*map(range, geometry.window)), count):
        y = y + tap_slice(z, tap, geometry).astype(work) * _row(kernel[tap], geometry).astype(work)
    return y


def _sum_by_rows(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, result: Any) -> jax.Array:
    """A loop whose every turn adds a few rows of taps, and the rows that are left over."""
    z, work = _by_multiples(padded_for(x, geometry), geometry), accumulator_dtype(result)
    axis, (rows, *rest) = len(geometry.batch_shape), geometry.window
    step = max(1, TAPS_OF_A_TURN // prod(rest))

    def add(y: jax.Array, first: Any, count: int) -> jax.Array:
        part = dataclasses.replace(geometry, window=(count, *rest))
        reads = part.reaches[0] + (geometry.out_sizes[0] - 1) * geometry.strides[0]
        read = lax.dynamic_slice_in_dim(z, first * geometry.kernel_dilation[0], reads, axis)
        return y + _unrolled(read, lax.dynamic_slice_in_dim(kernel, first, count), part, work, None)

    multiples = z.ndim - x.ndim
    shape = (
        *geometry.out_shape[:-1],
        geometry.in_channels,
        *([geometry.out_channels // geometry.in_channels] * multiples),
    )
    y = zeros_like_product(shape, x, kernel).astype(work)
    y = lax.fori_loop(0, rows // step, lambda turn, y: add(y, turn * step, step), y)
    if rows % step:
        y = add(y, rows - rows % step, rows % step)
    return y.astype(result).reshape(geometry.out_shape)


def _by_multiples(z: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """With an axis of size one after the channels where each makes several."""
    return lax.expand_dims(z, (z.ndim,)) if geometry.out_channels > geometry.in_channels else z


def _row(weights: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The weights of one tap, laid out as a position of the output before its channels are merged."""
    channels, multiplier = geometry.in_channels, geometry.out_channels // geometry.in_channels
    ones = (1,) * (len(geometry.batch_shape) + geometry.ndim)
    return weights.reshape(*ones, channels, *([multiplier] if multiplier > 1 else []))


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
    kernel_grad=functools.partial(transposed_kernel_grad, functools.partial(forward, apart=False)),
    partitions=frozenset({"forward", "kernel_grad"}),
)
