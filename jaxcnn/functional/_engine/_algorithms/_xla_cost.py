"""The time of XLA's own convolution on the two-core CPU that the estimates were calibrated on."""

from math import prod

import jax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms._counts import Counts, count_dense
from jaxcnn.functional._engine._algorithms._processor import AVX512
from jaxcnn.functional._engine._plan import BaseOperation

# Releases before 0.11 compute small windows on one thread, and pack those of few channels several times as slowly.
SLOW_PACKING = jax.__version_info__ < (0, 11)


def xla_seconds(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """Seconds, with one rate for each algorithm of XLA:CPU."""
    macs = geometry.multiply_adds
    if geometry.groups == geometry.in_channels > 1:
        return 1e-5 + macs / 0.8e9 + _depthwise_overhead(geometry, operation)
    if geometry.groups > 1:
        return grouped_seconds(geometry, operation)
    return dense_seconds(geometry, operation)


def _depthwise_overhead(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """The time of a depthwise convolution in addition to its products (JAX 0.10.2 and 0.12).

    XLA exchanges image and kernel if the window has no fewer positions than the map. An output then takes 0.1 to 0.3
    microseconds, with 3x3 windows on maps of 1x1 to 3x3 pixels. It computes a kernel gradient for all pairs of
    channels, and selects those of a group: with 960 channels on a map of one pixel, writing the pairs takes 55 ms.
    """
    if operation == "kernel_grad":
        pairs = geometry.in_channels * geometry.out_channels
        return 1e-9 * prod(geometry.window) * pairs + 2e-11 * geometry.multiply_adds * geometry.groups
    return 1.5e-7 * prod(geometry.out_shape) if prod(geometry.window) >= prod(geometry.sizes) else 0.0


def grouped_seconds(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """The same for groups of several channels.

    Each entry of a window is packed for its group, zeros of a dilated input included, the slower the fewer channels a
    group has; the kernel is transposed.
    """
    if operation == "kernel_grad":
        return 1e-5 + geometry.multiply_adds / 0.1e9
    inputs, outputs = geometry.in_channels / geometry.groups, geometry.out_channels // geometry.groups
    entries = prod(geometry.batch_shape) * prod(geometry.out_sizes) * prod(geometry.window) * geometry.in_channels
    packing = 8e-10 + 2e-8 / inputs if geometry.ndim > 2 else (2e-10 if geometry.ndim == 2 else 5e-10) + 4e-9 / inputs
    product = 2.6e-11 if geometry.ndim == 2 and max(geometry.input_dilation) == 1 else 1.03e-11
    multiplied = product * (-(-outputs // 16) * 16)
    return 1e-5 + entries * (packing + multiplied) + 3e-9 * prod(geometry.kernel_shape)


def dense_seconds(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """The same for one group: a matrix product whose operand is packed from windows entry by entry."""
    if operation == "kernel_grad":
        return _volume_kernel_grad(geometry) if geometry.ndim > 2 else _plane_kernel_grad(geometry)
    if geometry.ndim > 2:
        return _volume(geometry)
    if prod(geometry.window) > prod(geometry.sizes):
        return _exchanged(geometry)
    return _plane(geometry)


def _plane(geometry: ConvGeometry) -> float:
    """Over one or two axes. Packing is slow for few channels, and for few output channels, which share it."""
    n = count_dense(geometry)
    products = 1.03e-11 * n.products
    small = 1 < n.taps <= 9 and (geometry.ndim == 2 or max(geometry.input_dilation) == 1)
    if SLOW_PACKING and small and (16 < n.out_channels <= 32 or _is_wide_and_dense(geometry)):
        packing = 2.7e-9 / (1 + n.in_channels / 40)
    elif max(geometry.input_dilation) > 1:
        packing = (1e-9 if geometry.ndim == 1 else 1.5e-9) / n.in_channels
    elif n.taps == 1:
        packing = 1.5e-9 / n.in_channels
    elif n.out_channels <= 16:
        packing = max(9e-9 / (min(geometry.window[-1], 12) * n.in_channels), 1e-10)
    else:
        packing = 9e-10 / max(n.in_channels, 3)
    if max(geometry.input_dilation) > 1:
        if geometry.ndim == 1:
            products = 1.03e-11 * n.entries * (-(-n.out_channels // 8) * 8)
        if n.out_channels <= 3:  # XLA sums few output channels one by one
            products = (1.2e-11 if geometry.ndim == 1 else 2.7e-11) * n.entries * n.out_channels
    return 7e-5 + products + packing * n.entries + 4.7e-11 * n.arrays


def _exchanged(geometry: ConvGeometry) -> float:
    """Over one or two axes, if the window has more positions than the input.

    XLA then exchanges image and kernel: the input is the window, and its images are the output channels. With 3x3
    windows on maps of 1x1 and 2x2 pixels and 32 to 512 channels it computes 0.3 to 1.2 products in a nanosecond (JAX
    0.12, on one core).
    """
    entries = geometry.out_channels * prod(geometry.out_sizes) * prod(geometry.sizes) * geometry.in_channels
    return 7e-5 + 8e-10 * entries * prod(geometry.batch_shape)


def _volume(geometry: ConvGeometry) -> float:
    """Over three axes XLA:CPU is an order of magnitude slower, and slower still if the input is dilated."""
    n = count_dense(geometry)
    if any(n > 1 < d for n, d in zip(geometry.sizes, geometry.input_dilation, strict=True)):
        # XLA exchanges image and kernel if the kernel is larger, and is then as fast as without dilation.
        small = all(w > n for w, n in zip(geometry.window, geometry.dilated_sizes, strict=True))
        return 1e-3 + (1.6e-11 if small else 2.4e-9) * geometry.multiply_adds
    return 3e-4 + n.entries * (1.6e-9 if n.in_channels >= 8 else 7e-9)


def _plane_kernel_grad(geometry: ConvGeometry) -> float:
    """Both operands are transposed first.

    Over two axes it is a convolution whose window is the whole map, slow for many images. With AVX-512 a product takes
    1.15e-11 seconds, as over one axis. With AVX2 it takes 2.65e-11 unless there are few output channels (JAX 0.10.2 and
    0.12, median of 147 layers drawn at random), while matrix products are as fast on both CPUs.
    """
    n = count_dense(geometry)
    packed = _packed_for_few_products(n) if geometry.ndim == 2 else 0.0
    if n.taps == 1:
        return 3.5e-5 + 2.8e-11 * n.entries * n.out_channels + 4e-10 * n.arrays + packed
    crowded = 0.0
    if geometry.ndim == 2 and n.positions >= 100 * n.images >= 1e4:
        crowded = 2.6e-11
    elif geometry.ndim == 2 and n.positions >= 1000 * n.images >= 6.4e4:
        crowded = 6e-12
    transposed = (6.5e-10 if n.in_channels >= 16 else 4.2e-10) * n.arrays
    product = 1.15e-11 if AVX512 or geometry.ndim != 2 or n.out_channels <= 16 else 2.65e-11
    return 5e-5 + product * n.products + crowded * n.entries * n.out_channels + transposed + packed


def _packed_for_few_products(n: Counts) -> float:
    """The time to pack the operands, over two axes; the products hide it unless there are few channels.

    Channels are the images of this convolution, and the window is its output, so that with 3 channels and a window of
    2x2 each entry of the cotangent is packed for 12 products. Its own windows are whole maps: in large batches of large
    maps, reading each of their entries misses the cache. Measured with JAX 0.12 for 1, 2, 3, 4 and 8 channels. With
    fewer than 16 output channels the cotangent is packed again for each input channel, which takes less time per entry
    in small batches (about 160 layers at random), but not with AVX-512. There the faster products do not hide it either
    with more output channels if the cotangent exceeds the cache (120 layers at random).
    """
    cotangent = n.positions * n.out_channels
    if n.out_channels < 16:
        return (2e-9 if AVX512 else 1.5e-9 * min(n.images / 64, 1)) * cotangent * n.in_channels
    again = 4e-10 * cotangent * n.in_channels if AVX512 and cotangent > 2e6 else 0.0
    if n.in_channels > 8:
        return again
    missed = n.positions >= 500 * n.images >= 3.2e4
    return 1.2e-9 * cotangent + 2e-9 * n.entries * missed + again


def _volume_kernel_grad(geometry: ConvGeometry) -> float:
    """Over three axes, slow with strides and for single images."""
    n = count_dense(geometry)
    read = 1e-8 if max(geometry.strides) > 1 else 1.6e-9 + 6e-9 / n.images
    moved = n.arrays + prod(geometry.kernel_shape)
    return 2e-4 + n.entries * (read + 1.2e-11 * n.out_channels) + 1e-9 * moved


def _is_wide_and_dense(geometry: ConvGeometry) -> bool:
    return geometry.in_channels >= 16 and geometry.out_channels > 16 and max(geometry.strides) == 1
