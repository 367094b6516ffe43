"""Windows as rows of a matrix, one matrix product for each block of images, for kernel gradients.

On a CPU, XLA's own kernel gradient is a convolution whose window is the whole map. It has a fraction of the speed of a
matrix product if there are few channels, many images, or three axes. The rows of all windows together would be many
times the size of the input, so they are made block by block, in a buffer that stays in the cache.
"""

import dataclasses
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._dtypes import accumulator_dtype
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._blocks import block_of, kernel_grad_by_blocks
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_empty
from jaxcnn.functional._engine._algorithms._processor import AVX512
from jaxcnn.functional._engine._algorithms._taps import padded_for
from jaxcnn.functional._engine._algorithms._transposition import zeros_like_product
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

BLOCK_BYTES = 4 * 2**20
FEWEST_IN_PIECES = 16  # channels that are copied one tap at a time


@dataclasses.dataclass(frozen=True)
class Blocks:
    """The output cut into blocks of whole images, or of whole rows of one image."""

    images: int
    rows: int
    per_image: int
    count: int


def blocks_for(geometry: ConvGeometry, itemsize: int) -> Blocks:
    """The largest equal blocks whose windows take at most ``BLOCK_BYTES``, or one row of one image."""
    images, rows = geometry.batch_shape[0], geometry.out_sizes[0]
    row_bytes = prod(geometry.out_sizes[1:]) * prod(geometry.window) * geometry.in_channels * itemsize
    if rows * row_bytes <= BLOCK_BYTES:
        images_per = _divisor(images, BLOCK_BYTES // (rows * row_bytes))
        return Blocks(images_per, rows, 1, images // images_per)
    rows_per = _divisor(rows, max(BLOCK_BYTES // row_bytes, 1))
    return Blocks(1, rows_per, rows // rows_per, images * (rows // rows_per))


def _divisor(size: int, limit: int) -> int:
    """The largest divisor of ``size`` that is at most ``limit``."""
    return max(d for d in range(1, min(size, limit) + 1) if size % d == 0)


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """One product for each block of images, and for each block of groups."""
    if plan.geometry.groups > 1:
        return kernel_grad_by_blocks(_dense_kernel_grad, x, g, plan)
    return _dense_kernel_grad(x, g, plan)


def _dense_kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The sum over blocks of ``rows^T g``, computed as ``(g^T rows)^T``, which keeps the long axis contiguous."""
    geometry, work = plan.geometry, accumulator_dtype(x.dtype)
    blocks = blocks_for(geometry, x.dtype.itemsize)
    block, z = _geometry_of_block(geometry, blocks), padded_for(x, geometry)

    def product(g: jax.Array, rows: jax.Array) -> jax.Array:
        contracted = (((0,), (0,)), ((), ()))
        return lax.dot_general(g, rows, contracted, precision=plan.precision, preferred_element_type=work)

    def compute(index: Any) -> jax.Array:
        start = (index // blocks.per_image * blocks.images, index % blocks.per_image * blocks.rows)
        part = g if blocks.count == 1 else _take(g, start, block.out_shape)
        part = lax.reshape(part, (prod(block.out_shape[:-1]), geometry.out_channels))
        rows = _rows_of_block(z, index, blocks, block)
        return lax.concatenate([product(part, each) for each in rows], 1)

    if blocks.count == 1:
        dk = compute(0)
    else:
        shape = (geometry.out_channels, prod(geometry.kernel_shape[:-1]))
        zero = zeros_like_product(shape, x, g).astype(work)
        dk = lax.fori_loop(0, blocks.count, lambda index, dk: dk + compute(index), zero)
    return lax.reshape(lax.transpose(dk, (1, 0)), geometry.kernel_shape).astype(x.dtype)


def _rows_of_block(z: jax.Array, index: Any, blocks: Blocks, block: ConvGeometry) -> list[jax.Array]:
    """Every window of a block of the padded input as a row ``(*window, channels)``, in one part or several."""
    if blocks.count == 1:
        return [_concatenated_rows(lax.slice_in_dim(z, 0, block.sizes[0], axis=1), block)]
    start = (index // blocks.per_image * blocks.images, index % blocks.per_image * blocks.rows * block.strides[0])
    form = _form_of_rows(blocks, block)
    if form == "gathered":
        return [_gathered_rows(z, start, block)]
    part = _take(z, start, block.x_shape)
    return [_concatenated_rows(part, block)] if form == "concatenated" else _parts_of_rows(part, block)


def _form_of_rows(blocks: Blocks, block: ConvGeometry) -> Literal["concatenated", "gathered", "in parts"]:
    """How the rows of a block are made.

    Gathered rows take half of the time of concatenated ones, and compile faster. With AVX-512, whose instructions for
    gathers are slow, parts take 0.4 to 0.9 of the time of gathered rows. With few channels, or along a single axis,
    concatenating copies longer pieces. The padding of a single block is not outside a loop: XLA merges it into the
    gather, which tests every entry that it reads.
    """
    if blocks.count == 1 or block.ndim == 1 or block.in_channels < FEWEST_IN_PIECES:
        return "concatenated"
    return "in parts" if AVX512 else "gathered"


def _parts_of_rows(z: jax.Array, block: ConvGeometry) -> list[jax.Array]:
    """The part of the rows for each tap of the axes before the last."""
    last = block.ndim - 1
    z = _windows_along(z, block, last)
    parts = []
    for taps in np.ndindex(*block.window[:last]):
        part = z
        for axis, tap in enumerate(taps):
            part = _at_tap(part, block, axis, tap)
        parts.append(lax.reshape(part, (prod(part.shape[:-1]), part.shape[-1])))
    return parts


def _gathered_rows(z: jax.Array, start: tuple[Any, Any], block: ConvGeometry) -> jax.Array:
    """The channels of each tap of each window, one copy for each, from where the block starts in the padded input."""
    sizes, channels = z.shape[1:-1], z.shape[-1]
    apart = [prod(sizes[axis:]) for axis in range(len(sizes) + 1)]  # entries from one image, row, ... to the next
    windows, taps = np.arange(block.batch_shape[0], dtype=np.int32) * apart[0], np.zeros(1, np.int32)
    for axis in range(block.ndim):
        out = np.arange(block.out_sizes[axis], dtype=np.int32) * (block.strides[axis] * apart[axis + 1])
        tap = np.arange(block.window[axis], dtype=np.int32) * (block.kernel_dilation[axis] * apart[axis + 1])
        windows, taps = np.add.outer(windows, out).reshape(-1), np.add.outer(taps, tap).reshape(-1)
    first = windows + start[0] * apart[0] + start[1] * apart[1]
    rows = lax.reshape(z, (prod(z.shape[:-1]), channels))
    rows = rows.at[jnp.asarray(first)[:, None] + taps[None]].get(mode="promise_in_bounds")
    return lax.reshape(rows, (len(windows), len(taps) * channels))


def _concatenated_rows(z: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The windows of all of ``z``, one axis after the other: few, long copies."""
    for axis in reversed(range(geometry.ndim)):
        z = _windows_along(z, geometry, axis)
    return lax.reshape(z, (prod(z.shape[:-1]), z.shape[-1]))


def _windows_along(z: jax.Array, geometry: ConvGeometry, axis: int) -> jax.Array:
    """The entries of all taps along an axis as channels."""
    shifted = [_at_tap(z, geometry, axis, tap) for tap in range(geometry.window[axis])]
    return lax.concatenate(shifted, z.ndim - 1) if len(shifted) > 1 else shifted[0]


def _at_tap(z: jax.Array, geometry: ConvGeometry, axis: int, tap: int) -> jax.Array:
    """The entries that a tap of an axis reads, one for each position."""
    first, stride, out = tap * geometry.kernel_dilation[axis], geometry.strides[axis], geometry.out_sizes[axis]
    return lax.slice_in_dim(z, first, first + (out - 1) * stride + 1, stride, axis=1 + axis)


def _geometry_of_block(geometry: ConvGeometry, blocks: Blocks) -> ConvGeometry:
    """The convolution of one block of the padded input."""
    whole = geometry.padded()
    rows = (blocks.rows - 1) * geometry.strides[0] + geometry.reaches[0]
    return dataclasses.replace(
        whole,
        batch_shape=(blocks.images,),
        sizes=(rows, *whole.sizes[1:]),
        out_sizes=(blocks.rows, *geometry.out_sizes[1:]),
    )


def _take(a: jax.Array, start: tuple[Any, Any], shape: tuple[int, ...]) -> jax.Array:
    return lax.dynamic_slice(a, (*start, *([0] * (a.ndim - 2))), shape)


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports every plan with entries to sum."""
    return why_not_empty(plan.geometry)


def seconds(geometry: ConvGeometry) -> float:
    """A matrix product, and the copies that make the rows, which are slower the fewer channels there are.

    With groups, one of each for each block of groups, and the copies that cut the channels.
    """
    block, count = block_of(geometry)
    n = count_dense(block)
    if _form_of_rows(blocks_for(block, itemsize=4), block) != "concatenated":
        copy = 2e-10 + 1e-9 / n.in_channels
    else:
        copy = 4.1e-10 + 4.7e-10 / n.in_channels if n.in_channels > 1 else 5.5e-10
    rows = n.entries * copy
    dense = 4e-5 + 1.24e-11 * n.products + rows + 6.5e-11 * n.arrays + 3e-10 * n.positions * n.out_channels
    cut = 1.3e-9 * n.arrays + 2e-9 * prod(block.kernel_shape) if geometry.groups > 1 else 0
    return count * (dense + cut)


ALGORITHM = Algorithm(
    name="im2col",
    unsupported=_unsupported,
    estimate=lambda plan, operation: seconds(plan.geometry),
    kernel_grad=kernel_grad,
)
