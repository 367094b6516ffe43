"""Three spatial axes as two: the taps of the first axis become channels of their group, its positions become images."""

import dataclasses
from math import prod

import jax
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms import _grouped, _im2col, _xla
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._counts import count_dense, why_not_empty
from jaxcnn.functional._engine._algorithms._taps import padded_for
from jaxcnn.functional._engine._algorithms._xla_cost import SLOW_PACKING
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan


def forward(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """One two-dimensional convolution of ``depth * images`` images with ``taps * channels`` channels."""
    geometry = plan.geometry
    flat = plan.with_geometry(flattened(geometry))
    inner = _xla.forward if geometry.groups == 1 else _grouped.forward
    y = inner(_planes(x, geometry), _plane_kernel(kernel, geometry), flat)
    return lax.reshape(y, geometry.out_shape)


def kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The kernel gradient of that convolution."""
    geometry, flat = plan.geometry, flattened(plan.geometry)
    dk = _im2col.kernel_grad(_planes(x, geometry), lax.reshape(g, flat.out_shape), plan.with_geometry(flat))
    taps = geometry.window[0]
    dk = lax.reshape(dk, (*flat.window, taps, *geometry.kernel_shape[-2:]))
    return lax.transpose(dk, (2, 0, 1, 3, 4))


def flattened(geometry: ConvGeometry) -> ConvGeometry:
    """The geometry over the last two axes."""
    return dataclasses.replace(
        geometry,
        batch_shape=(geometry.batch_shape[0] * geometry.out_sizes[0],),
        sizes=geometry.sizes[1:],
        in_channels=geometry.window[0] * geometry.in_channels,
        window=geometry.window[1:],
        strides=geometry.strides[1:],
        pads=geometry.pads[1:],
        input_dilation=geometry.input_dilation[1:],
        kernel_dilation=geometry.kernel_dilation[1:],
        out_sizes=geometry.out_sizes[1:],
    )


def _planes(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """``(n, d, h, w, groups * c)`` to ``(n * d_out, h, w, groups * taps * c)``."""
    along = dataclasses.replace(
        geometry, pads=(geometry.pads[0], (0, 0), (0, 0)), input_dilation=(geometry.input_dilation[0], 1, 1)
    )
    z = padded_for(x, along)
    z = lax.reshape(z, (*z.shape[:-1], geometry.groups, geometry.in_channels // geometry.groups))
    gap, stride, out = geometry.kernel_dilation[0], geometry.strides[0], geometry.out_sizes[0]
    shifted = [
        lax.slice_in_dim(z, tap * gap, tap * gap + (out - 1) * stride + 1, stride, axis=1)
        for tap in range(geometry.window[0])
    ]
    return lax.reshape(lax.concatenate(shifted, 5), flattened(geometry).x_shape)


def _plane_kernel(kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    return lax.reshape(lax.transpose(kernel, (1, 2, 0, 3, 4)), flattened(geometry).kernel_shape)


def _unsupported(plan: ConvPlan, operation: BaseOperation) -> str | None:
    """Supports three spatial axes."""
    if plan.geometry.ndim != 3:
        return f"it requires 3 spatial axes, and there are {plan.geometry.ndim}"
    return why_not_empty(plan.geometry)


def _estimate(plan: ConvPlan, operation: BaseOperation) -> float:
    """For kernel gradients a product and rows of windows; else a product and one copy of each plane per tap.

    The zeros of a dilated input are multiplied like other entries. XLA exchanges image and kernel of a plane that is
    smaller than its window, which takes many times as long. With groups it is the time of the plane's algorithm.
    Releases of JAX that pack slowly multiply wide groups of large windows on one thread.
    """
    geometry, flat = plan.geometry, flattened(plan.geometry)
    copied = prod(flat.x_shape)
    too_small = any(w > n for w, n in zip(geometry.window[1:], geometry.dilated_sizes[1:], strict=True))
    if operation == "forward" and too_small:
        return 1e-3 + 1e-9 * geometry.multiply_adds
    if geometry.groups > 1:
        inner = _im2col.seconds(flat) if operation == "kernel_grad" else _grouped.seconds(flat, operation)
        wide = min(flat.in_channels // 2, flat.out_channels) >= 64 * flat.groups and prod(flat.window) > 9
        unshared = 4e-10 * copied * prod(flat.window) if SLOW_PACKING and wide and operation == "forward" else 0.0
        return 1.5e-4 + inner + 4.9e-10 * copied + unshared
    n = count_dense(geometry)
    if operation == "kernel_grad":
        return 2e-4 + 1.42e-11 * n.products + 3.2e-10 * n.entries
    laid_out = 4.9e-10 * prod(geometry.kernel_shape)
    products = prod(geometry.input_dilation) * n.products
    return 1.5e-4 + 9e-12 * products + laid_out + 4.9e-10 * copied + 2.9e-10 * n.positions * n.out_channels


ALGORITHM = Algorithm(
    name="depth", unsupported=_unsupported, estimate=_estimate, forward=forward, kernel_grad=kernel_grad
)
