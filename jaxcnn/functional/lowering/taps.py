"""The part of a padded input that one tap of the window reads: what the formulations without ``lax.conv`` share."""

import jax
from jax import lax

from jaxcnn.functional.padding import dilate_and_pad
from jaxcnn.shapes.conv import ConvGeometry


def padded_for(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``x`` dilated and padded with zeros as the geometry says."""
    if all(pads == (0, 0) for pads in geometry.pads) and all(d == 1 for d in geometry.input_dilation):
        return x
    return dilate_and_pad(x, geometry.pads, input_dilation=geometry.input_dilation)


def tap_slice(z: jax.Array, tap: tuple[int, ...], geometry: ConvGeometry) -> jax.Array:
    """``z[..., kernel_dilation * tap + strides * o, ...]`` for every output position ``o``.

    Axes after the spatial ones are taken whole.
    """
    first = len(geometry.batch_shape)
    starts, limits, strides = [0] * z.ndim, list(z.shape), [1] * z.ndim
    for axis, (entry, dilation, stride, out) in enumerate(
        zip(tap, geometry.kernel_dilation, geometry.strides, geometry.out_sizes, strict=True), start=first
    ):
        starts[axis] = entry * dilation
        limits[axis] = entry * dilation + (out - 1) * stride + 1
        strides[axis] = stride
    return lax.slice(z, starts, limits, strides)
