"""A sum of shifted copies of the input, one for each tap, for convolutions with one input channel per group.

On a CPU, XLA's own depthwise convolution computes one channel after the other; this is one fused loop over the output.
"""

import dataclasses
import functools
import itertools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._branch import in_branch
from jaxcnn.functional._engine._algorithms._taps import padded_for, tap_slice
from jaxcnn.functional._engine._algorithms._transposition import transposed_kernel_grad, zeros_like_product
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

FEW_TAPS = 16  # XLA:CPU keeps a sum of up to this many taps in one loop
MANY_TAPS = 128  # a longer sum is a loop over rows of taps: unrolled it takes seconds to compile, and runs slower
TAPS_PER_ITERATION = 32


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan, *, prevent_fusion: bool = True) -> jax.Array:
    """``y = sum over taps k of padded_x[strides * o + dilation * k] * kernel[k]``, summed in float32 at least.

    If ``x`` is dilated, as in the input gradient of strides, outputs whose distance is the dilation read the same taps.
    Each of these phases is a sum over its own taps of the input before dilation, so that no zero is multiplied.

    With ``prevent_fusion`` XLA does not fuse a sum of many taps with the operations that read it.
    """
    geometry, result = plan.geometry, plan.out_dtype
    if not has_phases(geometry):
        return _sum(x, kernel, geometry, result, prevent_fusion)
    batch, ndim = len(geometry.batch_shape), geometry.ndim
    phases = []
    for firsts in itertools.product(*map(range, geometry.input_dilation)):
        inner, taps = _phase(geometry, firsts)
        if 0 in inner.window:
            phases.append(jnp.zeros(inner.out_shape, result))
        else:
            phases.append(_sum(x, kernel[taps], inner, result, prevent_fusion))
    y = lax.reshape(jnp.stack(phases), (*geometry.input_dilation, *phases[0].shape))
    pairs = [axis for n in range(ndim) for axis in (ndim + batch + n, n)]
    y = lax.transpose(y, (*range(ndim, ndim + batch), *pairs, y.ndim - 1))
    long = [out * d for out, d in zip(inner.out_sizes, geometry.input_dilation, strict=True)]
    y = lax.reshape(y, (*geometry.batch_shape, *long, geometry.out_channels))
    return lax.slice(y, (0,) * y.ndim, geometry.out_shape)


def has_phases(geometry: ConvGeometry) -> bool:
    """Whether the input is dilated, without strides or a dilated kernel."""
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


def _sum(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, result: Any, prevent_fusion: bool) -> jax.Array:
    """The sum over all taps, in a branch if there are many."""
    count = prod(geometry.window)
    if count > MANY_TAPS:
        return _sum_by_rows(x, kernel, geometry, result)
    taps = functools.partial(_first_taps, geometry=geometry, result=result)
    if not prevent_fusion or count <= FEW_TAPS:
        return taps(x, kernel, count=count)
    return in_branch(functools.partial(taps, count=count), functools.partial(taps, count=1), x, kernel)


def _first_taps(x: jax.Array, kernel: jax.Array, *, count: int, geometry: ConvGeometry, result: Any) -> jax.Array:
    """The first ``count`` taps in one loop over the output."""
    y = _unrolled(_by_multiples(padded_for(x, geometry), geometry), kernel, geometry, accumulator_dtype(result), count)
    return y.astype(result).reshape(geometry.out_shape)


def _unrolled(z: jax.Array, kernel: jax.Array, geometry: ConvGeometry, work: Any, count: int | None) -> jax.Array:
    y = jnp.zeros((), work)
    for tap in itertools.islice(itertools.product(*map(range, geometry.window)), count):
        y = y + tap_slice(z, tap, geometry).astype(work) * _row(kernel[tap], geometry).astype(work)
    return y


def _sum_by_rows(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, result: Any) -> jax.Array:
    """A loop that adds a few rows of taps in each iteration, then the remaining rows."""
    z, work = _by_multiples(padded_for(x, geometry), geometry), accumulator_dtype(result)
    axis, (rows, *rest) = len(geometry.batch_shape), geometry.window
    step = max(1, TAPS_PER_ITERATION // prod(rest))

    def add(y: jax.Array, first: Any, count: int) -> jax.Array:
        part = dataclasses.replace(geometry, window=(count, *rest))
        length = part.reaches[0] + (geometry.out_sizes[0] - 1) * geometry.strides[0]
        read = lax.dynamic_slice_in_dim(z, first * geometry.kernel_dilation[0], length, axis)
        return y + _unrolled(read, lax.dynamic_slice_in_dim(kernel, first, count), part, work, None)

    multiples = z.ndim - x.ndim
    shape = (
        *geometry.out_shape[:-1],
        geometry.in_channels,
        *([geometry.out_channels // geometry.in_channels] * multiples),
    )
    y = zeros_like_product(shape, x, kernel).astype(work)
    y = lax.fori_loop(0, rows // step, lambda index, y: add(y, index * step, step), y)
    if rows % step:
        y = add(y, rows - rows % step, rows % step)
    return y.astype(result).reshape(geometry.out_shape)


def _by_multiples(z: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``z`` with an axis of size 1 after the channels, if each channel has several output channels."""
    return lax.expand_dims(z, (z.ndim,)) if geometry.out_channels > geometry.in_channels else z


def _row(weights: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The weights of one tap, laid out as a position of the output before its channels are merged."""
    channels, multiplier = geometry.in_channels, geometry.out_channels // geometry.in_channels
    ones = (1,) * (len(geometry.batch_shape) + geometry.ndim)
    return weights.reshape(*ones, channels, *([multiplier] if multiplier > 1 else []))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports one input channel per group, with any multiplier."""
    per_group = plan.geometry.in_channels // plan.geometry.groups
    return None if per_group == 1 else f"it requires one input channel per group, and there are {per_group}"


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The multiply-adds and the bytes; the kernel gradient, which is the transpose, sums without vectors."""
    geometry = plan.geometry
    macs, moved = geometry.multiply_adds, plan.bytes_moved
    if operation == "kernel_grad":
        return 1e-5 + macs / 1e9
    if has_phases(geometry):
        return 5e-5 + macs / prod(geometry.input_dilation) / 26e9 + moved / 15e9
    rate = 26e9 * min(1, (49 / prod(geometry.window)) ** 0.5)  # a long sum does not stay in registers
    return 1e-5 + macs / rate + moved / 32e9


ALGORITHM = Algorithm(
    name="shifted",
    unsupported=_unsupported,
    estimate=_estimate,
    forward=forward,
    kernel_grad=functools.partial(transposed_kernel_grad, functools.partial(forward, prevent_fusion=False)),
    partitionable=frozenset({"forward", "kernel_grad"}),
)
