"""The kernel gradient of depthwise and grouped convolutions: the sums of a row of taps in one pass over the cache.

On a CPU, XLA walks both arrays once per tap, and its loops over positions are not vectorised. A reduction with several
operands makes the sums of neighbouring taps together, from registers. Its loop is vectorised over the channels as long
as it is short enough to be unrolled: so it is over pairs, each entry already a sum of a few products.

A group of several channels is a depthwise convolution for each pair of its input and output channels. With one channel
of every group side by side their products fill the registers, where a block of groups multiplies mostly zeros.
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

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.linear import zeros_like_product
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for

BLOCK_BYTES = 1 << 20  # of both operands: about what one core's cache holds
PRODUCTS = 50  # per entry of a pair, over the taps of a group: with many more, LLVM does not unroll the pair
GROUP = 9  # the most taps whose sums stay in registers
MANY_TAPS = 128  # the sums of more are a loop over groups of taps: written out they take seconds to compile


def kernel_grad(x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, precision: Any) -> jax.Array:
    """``dk[k, c] = sum over batch and o of x[..., strides * o + dilation * k, c] * g[..., o, c]``.

    A loop over pairs of an input and an output channel of the groups, and over blocks of images.
    """
    groups = geometry.groups
    reads, writes = geometry.in_channels // groups, geometry.out_channels // groups
    plan = _plan(_of_one_pair(geometry), jnp.dtype(x.dtype).itemsize)
    x, g = _one_of_each_group(x, groups), _one_of_each_group(g, groups)
    blocks = geometry.batch_shape[0] // plan.images

    def add_block(index: jax.Array, sums: jax.Array) -> jax.Array:
        pair, block = (0, index) if reads * writes == 1 else (index // blocks, index % blocks)
        read = lax.dynamic_slice_in_dim(x, (pair // writes * blocks + block) * plan.images, plan.images, 0)
        part = lax.dynamic_slice_in_dim(g, (pair % writes * blocks + block) * plan.images, plan.images, 0)
        new = _block_sums(padded_for(read, plan.block), _widened(part, plan.more), plan)
        if reads * writes == 1:
            return sums + new[None]
        at = (pair, 0, 0)
        return lax.dynamic_update_slice(sums, lax.dynamic_slice(sums, at, (1, *new.shape)) + new[None], at)

    sums = zeros_like_product((reads * writes, prod(geometry.window), groups), x, g).astype(accumulator_dtype(x.dtype))
    sums = lax.fori_loop(0, reads * writes * blocks, add_block, sums).astype(x.dtype)
    sums = lax.reshape(sums, (reads, writes, *geometry.window, groups))
    return lax.reshape(jnp.moveaxis(sums, (0, 1), (-3, -1)), geometry.kernel_shape)


def _of_one_pair(geometry: ConvGeometry) -> ConvGeometry:
    """The depthwise convolution from one channel of each group to another."""
    return dataclasses.replace(geometry, in_channels=geometry.groups, out_channels=geometry.groups)


def _one_of_each_group(x: jax.Array, groups: int) -> jax.Array:
    """``(n, ..., groups * k)`` to ``(k * n, ..., groups)``: as many arrays as a group has channels, end to end."""
    per_group = x.shape[-1] // groups
    if per_group == 1:
        return x
    x = jnp.moveaxis(lax.reshape(x, (*x.shape[:-1], groups, per_group)), -1, 0)
    return lax.reshape(x, (per_group * x.shape[1], *x.shape[2:]))


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How the sums are cut up.

    ``images`` make a block, whose convolution is ``block``. Along the last axis, ``unrolled`` products are summed one
    by one, then pairs of these sums; ``more`` zeros make the axis a multiple of both.
    """

    images: int
    unrolled: int
    more: int
    block: ConvGeometry


def _plan(geometry: ConvGeometry, itemsize: int) -> _Plan:
    batch, width = geometry.batch_shape[0], geometry.out_sizes[-1]
    size = itemsize * (prod(geometry.x_shape[1:]) + prod(geometry.out_shape[1:]))
    images = max(n for n in range(1, batch + 1) if batch % n == 0 and (n == 1 or n * size <= BLOCK_BYTES))
    most = max(1, min(8, PRODUCTS // min(GROUP, geometry.window[-1])))
    # A pair that is left to sum costs a store and a load, a zero after the axis as much as any other product.
    costs = {n: (width + -width % (2 * n)) * (1 + 1 / (2 * n)) for n in range(1, most + 1)}
    unrolled = min(costs, key=lambda n: (costs[n], n))
    more = -width % (2 * unrolled)
    before, after = geometry.pads[-1]
    pads = (*geometry.pads[:-1], (before, after + more * geometry.strides[-1]))
    return _Plan(images, unrolled, more, dataclasses.replace(geometry, batch_shape=(images,), pads=pads))


def _widened(g: jax.Array, more: int) -> jax.Array:
    """With zeros after the last spatial axis."""
    if more == 0:
        return g
    return lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0)] * (g.ndim - 2) + [(0, more, 0), (0, 0, 0)])


def _block_sums(z: jax.Array, g: jax.Array, plan: _Plan) -> jax.Array:
    """``(taps, channels)``: the sums over one block of images."""
    width, channels = plan.block.window[-1], g.shape[-1]
    axis = g.ndim - 2
    cuts = [lax.slice_in_dim(g, u, g.shape[axis], plan.unrolled, axis) for u in range(plan.unrolled)]

    def sums_of(z: jax.Array, row: tuple[int, ...], taps: range) -> list[jax.Array]:
        pairs = [_pairs(z, cuts, (*row, tap), plan) for tap in taps]
        zeros = [np.zeros((), pairs[0].dtype)] * len(pairs)
        return [lax.reshape(s, (s.size // channels, channels)) for s in lax.reduce(pairs, zeros, _add, (g.ndim - 1,))]

    rows = plan.block.window[:-1]
    if prod(plan.block.window) <= MANY_TAPS:
        groups = [range(first, min(first + GROUP, width)) for first in range(0, width, GROUP)]
        sums = [sums_of(z, row, taps) for row in itertools.product(*map(range, rows)) for taps in groups]
        return jnp.sum(jnp.stack(list(itertools.chain(*sums))), 1)

    taps = min(GROUP, width)
    turns = -(-width // taps)
    sizes = [(o - 1) * s + 1 for o, s in zip(plan.block.out_sizes, plan.block.strides, strict=True)]
    sizes[-1] += (taps - 1) * plan.block.kernel_dilation[-1] + plan.more * plan.block.strides[-1]

    def turn(index: jax.Array, sums: jax.Array) -> jax.Array:
        """A group of neighbouring taps; the last one of a row begins early enough to be as long as the others."""
        row, first = index // turns, jnp.minimum(index % turns * taps, width - taps)
        tap = (*jnp.unravel_index(row, rows), first) if rows else (first,)
        starts: list[Any] = [0, *(t * d for t, d in zip(tap, plan.block.kernel_dilation, strict=True)), 0]
        read = lax.dynamic_slice(z, starts, (z.shape[0], *sizes, channels))
        new = jnp.sum(jnp.stack(sums_of(read, (0,) * len(rows), range(taps))), 1)
        return lax.dynamic_update_slice(sums, new[None], (row, first, 0))

    zeros = zeros_like_product((prod(rows), width, channels), z, g).astype(accumulator_dtype(z.dtype))
    return lax.reshape(lax.fori_loop(0, prod(rows) * turns, turn, zeros), (prod(rows) * width, channels))


def _add(a: list[jax.Array], b: list[jax.Array]) -> tuple[jax.Array, ...]:
    return tuple(p + q for p, q in zip(a, b, strict=True))


def _pairs(z: jax.Array, cuts: Sequence[jax.Array], tap: tuple[int, ...], plan: _Plan) -> jax.Array:
    """``(..., width // (2 * unrolled), 2, channels)``: products of ``g`` with one tap, a few summed.

    ``cuts`` has for each of these few the positions of ``g`` that it is for.
    """
    (*outer, count, channels), work = cuts[0].shape, accumulator_dtype(z.dtype)
    starts, sizes, strides = [0, *tap, 0], cuts[0].shape[:-1], [1, *plan.block.strides, 1]
    for entry, dilation in enumerate(plan.block.kernel_dilation, start=1):
        starts[entry] *= dilation
    strides[len(outer)] *= plan.unrolled
    # One slice, not a slice of one: XLA would see that the middle tap reads what was there before the padding, and
    # then go back to it, in the loop over all of ``x``.
    products = []
    for first, cut in enumerate(cuts):
        limits = [start + (size - 1) * stride + 1 for start, size, stride in zip(starts, sizes, strides, strict=False)]
        read = lax.slice(z, starts, [*limits, z.shape[-1]], strides).astype(work)
        products.append(_without_added(read * cut.astype(work), first, plan))
        starts[len(outer)] += plan.block.strides[-1]
    return lax.reshape(functools.reduce(operator.add, products), (*outer, count // 2, 2, channels))


def _without_added(products: jax.Array, first: int, plan: _Plan) -> jax.Array:
    """Zero where ``g`` was widened: its zeros meet entries of ``x`` that this tap does not read, which may be infinite.

    The products are those of positions ``first``, ``first + unrolled``, ... along the last spatial axis.
    """
    axis = products.ndim - 2
    own = first + plan.unrolled * np.arange(products.shape[axis]) < plan.block.out_sizes[-1]
    if own.all():
        return products
    shape = [own.size if entry == axis else 1 for entry in range(products.ndim)]
    return jnp.where(own.reshape(shape), products, jnp.zeros((), products.dtype))


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves several groups, floating and complex numbers, and no empty array."""
    if geometry.groups == 1 < geometry.in_channels:
        return "it wants several groups, and there is one"
    if not jnp.issubdtype(dtype, jnp.inexact):
        return f"it wants floating or complex numbers, not {jnp.dtype(dtype)}"
    if 0 in geometry.out_shape or 0 in geometry.x_shape:
        return "there is nothing to sum"
    return None


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """The multiply-adds, the bytes of both operands, and the steps of the loop.

    As many numbers lie side by side as there are groups. Several channels of a group are read again for each of them.
    """
    lanes = min(geometry.groups / 12, 1)
    if geometry.in_channels > geometry.groups:
        skipping = 2.2 if max(geometry.strides) > 1 else 1
        return 1.5e-4 + geometry.multiply_adds * skipping / (7e9 * lanes)
    itemsize = jnp.dtype(dtype).itemsize
    steps = geometry.out_channels // geometry.groups * geometry.batch_shape[0]
    steps //= _plan(_of_one_pair(geometry), itemsize).images
    moved = itemsize * (prod(geometry.x_shape) + prod(geometry.out_shape))
    return 1.5e-4 + geometry.multiply_adds / (30e9 * lanes) + moved / 25e9 + steps * 2e-5


LOWERING = Lowering(name="partial_sums", unserved=_unserved, estimate=_estimate, kernel_grad=kernel_grad)
