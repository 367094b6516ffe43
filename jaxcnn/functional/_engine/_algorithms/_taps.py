"""The part of the padded input that one tap of the window reads, for algorithms that do not call ``lax.conv``."""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._padding import dilate_and_pad


def padded_for(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``x``, dilated and padded with zeros."""
    return dilate_and_pad(x, geometry.pads, input_dilation=geometry.input_dilation)


def tap_slice(z: jax.Array, tap: tuple[int, ...], geometry: ConvGeometry) -> jax.Array:
    """``z[..., kernel_dilation * tap + strides * o, ...]`` for every output position ``o``.

    Axes after the spatial ones are not sliced.
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


def kernel_grad_by_taps(x: jax.Array, g: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The cotangent of the kernel, one matrix product per tap, in any dtype.

    ``dk[k, i, c] = sum over batch and o of x[..., strides * o + dilation * k, i] * g[..., o, c]``.
    """
    z, groups = padded_for(x, geometry), geometry.groups
    g = lax.reshape(g, (*g.shape[:-1], groups, geometry.out_channels // groups))
    summed, group = tuple(range(g.ndim - 2)), (g.ndim - 2,)
    taps = []
    for tap in itertools.product(*map(range, geometry.window)):
        read = tap_slice(z, tap, geometry)
        read = lax.reshape(read, (*read.shape[:-1], groups, geometry.in_channels // groups))
        taps.append(lax.dot_general(read, g, ((summed, summed), (group, group))))
    return lax.reshape(lax.transpose(jnp.stack(taps), (0, 2, 1, 3)), geometry.kernel_shape)
