"""The time of XLA's own convolution on the two-core CPU that the estimates were calibrated on."""

import jax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms._counts import count_dense
from jaxcnn.functional._engine._plan import BaseOperation

# Releases before 0.11 pack small windows several times as slowly in the forward pass, for some numbers of channels.
SLOW_PACKING = jax.__version_info__ < (0, 11)


def xla_seconds(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """Seconds, with one rate for each algorithm of XLA:CPU."""
    macs = geometry.multiply_adds
    if geometry.groups == geometry.in_channels > 1:
        return 1e-5 + macs / 0.8e9
    if geometry.groups > 1:
        return 1e-5 + macs / (0.1e9 if operation == "kernel_grad" else 3e9)
    return dense_seconds(geometry, operation)


def dense_seconds(geometry: ConvGeometry, operation: BaseOperation) -> float:
    """The same for one group: a matrix product whose operand is packed from windows entry by entry.

    Packing is slow for few channels. The kernel gradient transposes both operands first. Within a network XLA fuses the
    operations that made them into this, and reads them with large strides, hence the rate of their entries; the few
    channels of a first layer are small strides. Over three axes XLA:CPU is an order of magnitude slower, and slower
    still if the input is dilated; its kernel gradient is a convolution whose window is the whole map, slow for many
    images.
    """
    n = count_dense(geometry)
    if geometry.ndim > 2:
        if operation == "kernel_grad":
            return 6e-3 + 1.9e-9 * n.entries + 1.2e-11 * n.entries * n.out_channels
        if any(n > 1 < d for n, d in zip(geometry.sizes, geometry.input_dilation, strict=True)):
            # XLA exchanges image and kernel if the kernel is larger, and is then as fast as without dilation.
            small = all(w > n for w, n in zip(geometry.window, geometry.dilated_sizes, strict=True))
            return 1e-3 + (1.6e-11 if small else 2.4e-9) * geometry.multiply_adds
        return 3e-4 + n.entries * (1.6e-9 if n.in_channels >= 8 else 7e-9)
    if operation == "forward":
        slow = SLOW_PACKING and 1 < n.taps <= 9 and (16 < n.out_channels <= 32 or _is_wide_and_dense(geometry))
        packing = 2.7e-9 * n.entries / (1 + n.in_channels / 40) if slow else 1.5e-9 * n.entries / n.in_channels
        products = 1.03e-11 * n.products
        if max(geometry.input_dilation) > 1 and n.out_channels <= 3:
            products = 2.7e-11 * n.entries * n.out_channels  # XLA sums few output channels one by one
        return 7e-5 + products + packing + 4.7e-11 * n.arrays
    if n.taps == 1:
        return 3.5e-5 + 2.8e-11 * n.entries * n.out_channels + 4e-10 * n.arrays
    many = n.images >= 100 and n.positions >= 100 * n.images
    transposed = (1e-9 if n.in_channels >= 16 else 4.2e-10) * n.arrays
    return 5e-5 + 1.26e-11 * n.products + 2.6e-11 * n.entries * n.out_channels * many + transposed


def _is_wide_and_dense(geometry: ConvGeometry) -> bool:
    return geometry.in_channels >= 16 and geometry.out_channels > 16 and max(geometry.strides) == 1
