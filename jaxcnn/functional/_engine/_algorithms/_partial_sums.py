"""The kernel gradient of depthwise and grouped convolutions: the sums of neighbouring taps in one pass over the arrays.

On a CPU, XLA reads both arrays once for each tap, and its loops over positions are not vectorised. A reduction with
several operands computes the sums of neighbouring taps together, in registers. Its loop is vectorised over the channels
if it is short enough to be unrolled, so it is a loop over pairs, each entry already a sum of a few products.

A group of several channels is a depthwise convolution for each pair of an input and an output channel. One channel of
each group together fill the registers, whereas a block of groups multiplies mostly zeros.
"""

import dataclasses
import functools
import itertools
import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._taps import padded_for
from jaxcnn.functional._engine._algorithms._transposition import zeros_like_product
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

BLOCK_BYTES = 1 << 20  # of both operands: about what one core's cache holds
PRODUCTS = 50  # of one entry of a pair, for all taps of a reduction: with many more, LLVM does not unroll the pair
TAPS = 9  # of a reduction: the sums of more do not stay in registers
MANY_TAPS = 128  # of a window: the sums of more are a loop over reductions, which compiles in less time


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """``dk[k, c] = sum over batch and o of x[..., strides * o + dilation * k, c] * g[..., o, c]``.

    A loop over pairs of an input and an output channel of the groups, and over blocks of images.
    """
    geometry, groups = plan.geometry, plan.geometry.groups
    inputs, outputs = geometry.in_channels // groups, geometry.out_channels // groups
    blocking = _blocking(_of_one_pair(geometry), plan.dtype.itemsize)
    x, g = _one_of_each_group(x, groups), _one_of_each_group(g, groups)
    blocks = geometry.batch_shape[0] // blocking.images

    def add_block(index: jax.Array, sums: jax.Array) -> jax.Array:
        pair, block = (0, index) if inputs * outputs == 1 else (index // blocks, index % blocks)
        images = blocking.images
        read = lax.dynamic_slice_in_dim(x, (pair // outputs * blocks + block) * images, images, 0)
        part = lax.dynamic_slice_in_dim(g, (pair % outputs * blocks + block) * images, images, 0)
        new = _block_sums(padded_for(read, blocking.block), _widened(part, blocking.extra), blocking)
        if inputs * outputs == 1:
            return sums + new[None]
        at = (pair, 0, 0)
        return lax.dynamic_update_slice(sums, lax.dynamic_slice(sums, at, (1, *new.shape)) + new[None], at)

    shape = (inputs * outputs, prod(geometry.window), groups)
    sums = zeros_like_product(shape, x, g).astype(accumulator_dtype(x.dtype))
    sums = lax.fori_loop(0, inputs * outputs * blocks, add_block, sums).astype(x.dtype)
    sums = lax.reshape(sums, (inputs, outputs, *geometry.window, groups))
    return lax.reshape(jnp.moveaxis(sums, (0, 1), (-3, -1)), geometry.kernel_shape)


def _of_one_pair(geometry: ConvGeometry) -> ConvGeometry:
    """The depthwise convolution from one channel of each group to another."""
    return dataclasses.replace(geometry, in_channels=geometry.groups, out_channels=geometry.groups)


def _one_of_each_group(x: jax.Array, groups: int) -> jax.Array:
    """``(n, ..., groups * k)`` to ``(k * n, ..., groups)``: an array for each channel of a group, concatenated."""
    per_group = x.shape[-1] // groups
    if per_group == 1:
        return x
    x = jnp.moveaxis(lax.reshape(x, (*x.shape[:-1], groups, per_group)), -1, 0)
    return lax.reshape(x, (per_group * x.shape[1], *x.shape[2:]))


@dataclasses.dataclass(frozen=True)
class _Blocking:
    """How the sums are divided.

    Attributes:
        images: of a block.
        unrolled: number of products along the last axis that are summed one by one; pairs of these sums follow.
        extra: number of zeros after the last axis of ``g``, which make its size a multiple of ``2 * unrolled``.
        block: the convolution of a block.
    """

    images: int
    unrolled: int
    extra: int
    block: ConvGeometry


def _blocking(geometry: ConvGeometry, itemsize: int) -> _Blocking:
    batch, width = geometry.batch_shape[0], geometry.out_sizes[-1]
    size = itemsize * (prod(geometry.x_shape[1:]) + prod(geometry.out_shape[1:]))
    images = max(n for n in range(1, batch + 1) if batch % n == 0 and (n == 1 or n * size <= BLOCK_BYTES))
    limit = max(1, min(8, PRODUCTS // min(TAPS, geometry.window[-1])))
    # A pair that remains to be summed costs a store and a load, an extra zero as much as any other product.
    costs = {n: (width + -width % (2 * n)) * (1 + 1 / (2 * n)) for n in range(1, limit + 1)}
    unrolled = min(costs, key=lambda n: (costs[n], n))
    extra = -width % (2 * unrolled)
    before, after = geometry.pads[-1]
    pads = (*geometry.pads[:-1], (before, after + extra * geometry.strides[-1]))
    return _Blocking(images, unrolled, extra, dataclasses.replace(geometry, batch_shape=(images,), pads=pads))


def _widened(g: jax.Array, extra: int) -> jax.Array:
    """``g`` with zeros at the end of its last spatial axis."""
    if extra == 0:
        return g
    return lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0)] * (g.ndim - 2) + [(0, extra, 0), (0, 0, 0)])


def _block_sums(z: jax.Array, g: jax.Array, blocking: _Blocking) -> jax.Array:
    """``(taps, channels)``: the sums over one block of images."""
    width, channels = blocking.block.window[-1], g.shape[-1]
    axis = g.ndim - 2
    cuts = [lax.slice_in_dim(g, u, g.shape[axis], blocking.unrolled, axis) for u in range(blocking.unrolled)]

    def sums_of(z: jax.Array, row: tuple[int, ...], taps: range) -> list[jax.Array]:
        pairs = [_pairs(z, cuts, (*row, tap), blocking) for tap in taps]
        zeros = [np.zeros((), pairs[0].dtype)] * len(pairs)
        return [lax.reshape(s, (s.size // channels, channels)) for s in lax.reduce(pairs, zeros, _add, (g.ndim - 1,))]

    rows = blocking.block.window[:-1]
    if prod(blocking.block.window) <= MANY_TAPS:
        groups = [range(first, min(first + TAPS, width)) for first in range(0, width, TAPS)]
        sums = [sums_of(z, row, taps) for row in itertools.product(*map(range, rows)) for taps in groups]
        return jnp.sum(jnp.stack(list(itertools.chain(*sums))), 1)

    taps = min(TAPS, width)
    per_row = -(-width // taps)
    sizes = [(o - 1) * s + 1 for o, s in zip(blocking.block.out_sizes, blocking.block.strides, strict=True)]
    sizes[-1] += (taps - 1) * blocking.block.kernel_dilation[-1] + blocking.extra * blocking.block.strides[-1]

    def add_taps(index: jax.Array, sums: jax.Array) -> jax.Array:
        """Sums of neighbouring taps of a row; the last taps may overlap earlier ones, so that all are equally many."""
        row, first = index // per_row, jnp.minimum(index % per_row * taps, width - taps)
        tap = (*jnp.unravel_index(row, rows), first) if rows else (first,)
        starts: list[Any] = [0, *(t * d for t, d in zip(tap, blocking.block.kernel_dilation, strict=True)), 0]
        read = lax.dynamic_slice(z, starts, (z.shape[0], *sizes, channels))
        new = jnp.sum(jnp.stack(sums_of(read, (0,) * len(rows), range(taps))), 1)
        return lax.dynamic_update_slice(sums, new[None], (row, first, 0))

    zeros = zeros_like_product((prod(rows), width, channels), z, g).astype(accumulator_dtype(z.dtype))
    return lax.reshape(lax.fori_loop(0, prod(rows) * per_row, add_taps, zeros), (prod(rows) * width, channels))


def _add(a: list[jax.Array], b: list[jax.Array]) -> tuple[jax.Array, ...]:
    return tuple(p + q for p, q in zip(a, b, strict=True))


def _pairs(z: jax.Array, cuts: Sequence[jax.Array], tap: tuple[int, ...], blocking: _Blocking) -> jax.Array:
    """``(..., width // (2 * unrolled), 2, channels)``: sums of ``unrolled`` products of ``g`` with one tap.

    ``cuts`` has the positions of ``g`` for each of these products.
    """
    (*outer, count, channels), work = cuts[0].shape, accumulator_dtype(z.dtype)
    starts, sizes, strides = [0, *tap, 0], cuts[0].shape[:-1], [1, *blocking.block.strides, 1]
    for entry, dilation in enumerate(blocking.block.kernel_dilation, start=1):
        starts[entry] *= dilation
    strides[len(outer)] *= blocking.unrolled
    # One slice, not a slice of a slice: XLA would replace that of the middle tap by one of the array before padding,
    # and so read all of ``x``.
    products = []
    for first, cut in enumerate(cuts):
        limits = [start + (size - 1) * stride + 1 for start, size, stride in zip(starts, sizes, strides, strict=False)]
        read = lax.slice(z, starts, [*limits, z.shape[-1]], strides).astype(work)
        products.append(_without_extra(read * cut.astype(work), first, blocking))
        starts[len(outer)] += blocking.block.strides[-1]
    return lax.reshape(functools.reduce(operator.add, products), (*outer, count // 2, 2, channels))


def _without_extra(products: jax.Array, first: int, blocking: _Blocking) -> jax.Array:
    """Zero where ``g`` was widened: its zeros multiply entries of ``x`` that this tap does not read, maybe infinities.

    The products are those of positions ``first``, ``first + unrolled``, ... along the last spatial axis.
    """
    axis = products.ndim - 2
    own = first + blocking.unrolled * np.arange(products.shape[axis]) < blocking.block.out_sizes[-1]
    if own.all():
        return products
    shape = [own.size if entry == axis else 1 for entry in range(products.ndim)]
    return jnp.where(own.reshape(shape), products, jnp.zeros((), products.dtype))


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports several groups, floating and complex numbers, and no empty array."""
    geometry = plan.geometry
    if geometry.groups == 1 < geometry.in_channels:
        return "it requires several groups, and there is one"
    if not jnp.issubdtype(plan.dtype, jnp.inexact):
        return f"it requires floating or complex numbers, not {plan.dtype}"
    if 0 in geometry.out_shape or 0 in geometry.x_shape:
        return "it requires arrays that are not empty"
    return None


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """The multiply-adds, the bytes of both operands, and the iterations of the loop.

    A vector holds one channel of each group. The channels of a group are read again for each channel of the other side.
    """
    geometry = plan.geometry
    lanes = min(geometry.groups / 12, 1)
    if geometry.in_channels > geometry.groups:
        skipping = 2.2 if max(geometry.strides) > 1 else 1
        return 1.5e-4 + geometry.multiply_adds * skipping / (7e9 * lanes)
    iterations = geometry.out_channels // geometry.groups * geometry.batch_shape[0]
    iterations //= _blocking(_of_one_pair(geometry), plan.dtype.itemsize).images
    return 1.5e-4 + geometry.multiply_adds / (30e9 * lanes) + plan.bytes_moved / 25e9 + iterations * 2e-5


ALGORITHM = Algorithm(name="partial_sums", unsupported=_unsupported, estimate=_estimate, kernel_grad=kernel_grad)
