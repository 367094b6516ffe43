"""``vmap`` of the two primitives: each batched operation is one operation with more batch axes, channels or groups."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._plan import ConvPlan

Operands = tuple[jax.Array, jax.Array]
Axes = tuple[Any, Any]


def register(conv_p: Primitive, kernel_grad_p: Primitive) -> None:
    """Gives both primitives their batching rules."""
    batching.primitive_batchers[conv_p] = functools.partial(_batch_conv, conv_p)
    batching.primitive_batchers[kernel_grad_p] = functools.partial(_batch_kernel_grad, kernel_grad_p)


def _batch_conv(conv_p: Primitive, operands: Operands, axes: Axes, *, plan: ConvPlan) -> tuple[jax.Array, int]:
    """A batched ``x`` has one more batch axis, a batched kernel more channels; with both there are more groups."""
    (x, kernel), (x_axis, kernel_axis), geometry = operands, axes, plan.geometry
    if kernel_axis is None:
        x = jnp.moveaxis(x, x_axis, 0)
        batched = geometry.with_batch(x.shape[0], *geometry.batch_shape)
        return conv_p.bind(x, kernel, plan=plan.with_geometry(batched)), 0
    size = kernel.shape[kernel_axis]
    if size == 0:
        return jnp.zeros((0, *geometry.out_shape), plan.out_dtype), 0
    kernel = jnp.moveaxis(kernel, kernel_axis, 0)
    if x_axis is None:
        wider = dataclasses.replace(geometry, out_channels=size * geometry.out_channels)
        y = conv_p.bind(x, _fold(kernel, geometry.groups), plan=plan.with_geometry(wider))
        return _unfold(y, size, geometry.groups), 0
    repeated = plan.with_geometry(_repeated(geometry, size))
    return _unfold(conv_p.bind(_fold(jnp.moveaxis(x, x_axis, 0), 1), _fold(kernel, 1), plan=repeated), size, 1), 0


def _batch_kernel_grad(
    kernel_grad_p: Primitive, operands: Operands, axes: Axes, *, plan: ConvPlan
) -> tuple[jax.Array, int]:
    """One kernel gradient per example: more channels of the operand that is batched, more groups if both are."""
    (x, g), (x_axis, g_axis), geometry = operands, axes, plan.geometry
    if 0 in [a.shape[axis] for a, axis in zip(operands, axes, strict=True) if axis is not None]:
        return jnp.zeros((0, *geometry.kernel_shape), x.dtype), 0
    if x_axis is None:
        size = g.shape[g_axis]
        wider = plan.with_geometry(dataclasses.replace(geometry, out_channels=size * geometry.out_channels))
        dk = kernel_grad_p.bind(x, _fold(jnp.moveaxis(g, g_axis, 0), geometry.groups), plan=wider)
        return _unfold(dk, size, geometry.groups), 0
    size = x.shape[x_axis]
    x = jnp.moveaxis(x, x_axis, 0)
    if g_axis is None:
        wider = plan.with_geometry(dataclasses.replace(geometry, in_channels=size * geometry.in_channels))
        dk = kernel_grad_p.bind(_fold(x, geometry.groups), g, plan=wider)
        return jnp.swapaxes(_unfold(jnp.swapaxes(dk, -1, -2), size, 1), -1, -2), 0
    g = jnp.moveaxis(g, g_axis, 0)
    repeated = plan.with_geometry(_repeated(geometry, size))
    return _unfold(kernel_grad_p.bind(_fold(x, 1), _fold(g, 1), plan=repeated), size, 1), 0


def _repeated(geometry: ConvGeometry, times: int) -> ConvGeometry:
    """A number of independent convolutions as the groups of one."""
    return dataclasses.replace(
        geometry,
        in_channels=times * geometry.in_channels,
        out_channels=times * geometry.out_channels,
        groups=times * geometry.groups,
    )


def _fold(a: jax.Array, groups: int) -> jax.Array:
    """``(size, ..., groups * n)`` to ``(..., groups * size * n)``."""
    size, *rest, channels = a.shape
    a = lax.reshape(a, (size, *rest, groups, channels // groups))
    return lax.reshape(jnp.moveaxis(a, 0, -2), (*rest, size * channels))


def _unfold(a: jax.Array, size: int, groups: int) -> jax.Array:
    """``(..., groups * size * n)`` to ``(size, ..., groups * n)``."""
    *rest, channels = a.shape
    a = lax.reshape(a, (*rest, groups, size, channels // size // groups))
    return lax.reshape(jnp.moveaxis(a, -2, 0), (size, *rest, channels // size))
