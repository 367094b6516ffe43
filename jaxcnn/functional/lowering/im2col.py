"""Windows laid out as rows of a matrix, one matrix product per block of images: for kernel gradients.

On a CPU, XLA's own kernel gradient is a convolution whose window is the whole map, at a fraction of the speed of a
matrix product when channels are few, images many, or axes three. The rows of all windows together would be many times
the size of the input, so they are made block by block, in a buffer that stays in the cache and is used again.
"""

import dataclasses
from math import prod
from typing import Any

import jax
from jax import lax

from jaxcnn._arrays import accumulator_dtype
from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.counts import count_dense, why_not_dense
from jaxcnn.functional.lowering.linear import zeros_like_product
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.taps import padded_for

BLOCK_BYTES = 4 * 2**20


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


def _divisor(size: int, most: int) -> int:
    """The largest divisor of ``size`` that is at most ``most``."""
    return max(d for d in range(1, min(size, most) + 1) if size % d == 0)


def kernel_grad(x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, precision: Any) -> jax.Array:
    """The sum over blocks of ``rows^T g``, computed as ``(g^T rows)^T``, which keeps the long axis contiguous."""
    work = accumulator_dtype(x.dtype)
    blocks, block, z = _plan(x, geometry)

    def compute(index: Any) -> jax.Array:
        rows = window_rows(_block_of(z, index, blocks, block), block)
        start = (index // blocks.per_image * blocks.images, index % blocks.per_image * blocks.rows)
        part = g if blocks.count == 1 else _take(g, start, block.out_shape)
        part = lax.reshape(part, (rows.shape[0], geometry.out_channels))
        return lax.dot_general(part, rows, (((0,), (0,)), ((), ())), precision=precision, preferred_element_type=work)

    if blocks.count == 1:
        dk = compute(0)
    else:
        shape = (geometry.out_channels, prod(geometry.kernel_shape[:-1]))
        zero = zeros_like_product(shape, x, g).astype(work)
        dk = lax.fori_loop(0, blocks.count, lambda index, dk: dk + compute(index), zero)
    return lax.reshape(lax.transpose(dk, (1, 0)), geometry.kernel_shape).astype(x.dtype)


def window_rows(z: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """Every window of a padded input as a row ``(*window, channels)``, axis after axis: few and long copies."""
    for axis in reversed(range(geometry.ndim)):
        gap, stride, out = geometry.kernel_dilation[axis], geometry.strides[axis], geometry.out_sizes[axis]
        shifted = [
            lax.slice_in_dim(z, tap * gap, tap * gap + (out - 1) * stride + 1, stride, axis=1 + axis)
            for tap in range(geometry.window[axis])
        ]
        z = lax.concatenate(shifted, z.ndim - 1) if len(shifted) > 1 else shifted[0]
    return lax.reshape(z, (prod(z.shape[:-1]), z.shape[-1]))


def _plan(x: jax.Array, geometry: ConvGeometry) -> tuple[Blocks, ConvGeometry, jax.Array]:
    """The blocks, the convolution of one block of padded input, and the padded input."""
    blocks = blocks_for(geometry, x.dtype.itemsize)
    whole = geometry.padded()
    reads = (blocks.rows - 1) * geometry.strides[0] + geometry.reaches[0]
    block = dataclasses.replace(
        whole,
        batch_shape=(blocks.images,),
        sizes=(reads, *whole.sizes[1:]),
        out_sizes=(blocks.rows, *geometry.out_sizes[1:]),
    )
    return blocks, block, padded_for(x, geometry)


def _block_of(z: jax.Array, index: Any, blocks: Blocks, block: ConvGeometry) -> jax.Array:
    if blocks.count == 1:
        return lax.slice_in_dim(z, 0, block.sizes[0], axis=1)
    start = (index // blocks.per_image * blocks.images, index % blocks.per_image * blocks.rows * block.strides[0])
    return _take(z, start, block.x_shape)


def _take(a: jax.Array, start: tuple[Any, Any], shape: tuple[int, ...]) -> jax.Array:
    return lax.dynamic_slice(a, (*start, *([0] * (a.ndim - 2))), shape)


def _unserved(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """Serves one group."""
    return why_not_dense(geometry)


def _estimate(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """A matrix product, the copies that make the rows, and what each copy costs whose run is one channel short."""
    n = count_dense(geometry)
    return 4e-5 + 1.24e-11 * n.products + n.entries * (4.1e-10 + 4.7e-10 / n.reads) + 6.5e-11 * n.arrays


LOWERING = Lowering(name="im2col", unserved=_unserved, estimate=_estimate, kernel_grad=kernel_grad)
