"""A convolution and its kernel gradient as two bilinear primitives, which close under differentiation.

Differentiation, batching and sharding see one operation with a geometry, so that each derivative, of any order, is
again an operation with a formulation of its own; which one is decided when the program is lowered, where the platform
is known. With ``f`` the convolution, ``w`` its kernel gradient and ``T`` the kernel flipped and transposed:

    f is linear in x: its transpose is f(g, T kernel) of the transposed geometry;  in kernel: w(x, g)
    w is linear in x: its transpose is f(g, T dk) of the transposed geometry;      in g: f(x, dk)
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering import xla
from jaxcnn.functional.lowering.compute import compute_conv, compute_kernel_grad
from jaxcnn.functional.lowering.jet_rule import add_jet_rule
from jaxcnn.functional.lowering.kernels import transpose_kernel
from jaxcnn.functional.lowering.linear import transposed_kernel_grad

conv_p = Primitive("conv")
kernel_grad_p = Primitive("conv_kernel_grad")

PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}  # JAX's names to those of the rule


def bind_conv(
    x: jax.Array,
    kernel: jax.Array,
    geometry: ConvGeometry,
    *,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any = None,
) -> jax.Array:
    """``y`` from ``x`` and ``kernel`` of one dtype."""
    add_jet_rule(conv_p)
    x, kernel = _vary_together(x, kernel)
    return conv_p.bind(
        x,
        kernel,
        geometry=geometry,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=None if preferred_element_type is None else jnp.dtype(preferred_element_type),
    )


def bind_kernel_grad(
    x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, algorithm: str, precision: Any
) -> jax.Array:
    """The cotangent of the kernel from ``x`` and the cotangent of ``y``, of one dtype."""
    add_jet_rule(kernel_grad_p)
    x, g = _vary_together(x, g)
    return kernel_grad_p.bind(x, g, geometry=geometry, algorithm=algorithm, precision=precision)


def _vary_together(*operands: jax.Array) -> list[jax.Array]:
    """Operands that vary over the same axes of a ``shard_map``; the transpose of the cast sums a gradient over them."""
    varying = [jax.typeof(operand).manual_axis_type.varying for operand in operands]
    missing = [tuple(frozenset().union(*varying) - own) for own in varying]
    return [
        lax.pcast(operand, names, to="varying") if names else operand
        for operand, names in zip(operands, missing, strict=True)
    ]


# ---------------------------------------------------------------------------------------------- type of the result


def _conv_type(x: Any, kernel: Any, *, geometry: ConvGeometry, algorithm: str, **options: Any) -> Any:
    if _is_plain(x, kernel):
        return jax.core.ShapedArray(geometry.out_shape, options["preferred_element_type"] or x.dtype)
    return _type_of(lambda x, kernel: xla.forward(x, kernel, geometry, **options), x, kernel)


def _kernel_grad_type(x: Any, g: Any, *, geometry: ConvGeometry, algorithm: str, precision: Any) -> Any:
    if _is_plain(x, g):
        return jax.core.ShapedArray(geometry.kernel_shape, x.dtype)
    return _type_of(lambda x, g: transposed_kernel_grad(xla.forward, x, g, geometry, precision=precision), x, g)


def _is_plain(*avals: Any) -> bool:
    """Whether no axis is named in the types, as outside of meshes with Explicit axes and of ``shard_map``."""
    return all(aval.sharding.mesh.empty and aval.manual_axis_type.empty for aval in avals)


def _type_of(reference: Callable[..., jax.Array], *avals: Any) -> Any:
    """The type that XLA's own convolution gives the result, found by tracing it."""
    structs = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding, manual_axis_type=a.manual_axis_type) for a in avals
    ]
    return jax.make_jaxpr(reference)(*structs).out_avals[0]


conv_p.def_abstract_eval(_conv_type)
kernel_grad_p.def_abstract_eval(_kernel_grad_type)


# --------------------------------------------------------------------------------------------------- transposition


def _conv_transposed_in_x(g: jax.Array, x: ad.UndefinedPrimal, kernel: jax.Array, **params: Any) -> jax.Array:
    geometry = params["geometry"]
    dx = bind_conv(
        g,
        transpose_kernel(kernel.astype(g.dtype), geometry.groups),
        geometry.transposed(),
        algorithm=params["algorithm"],
        precision=params["precision"],
    )
    return _as_cotangent(dx, x)


def _conv_transposed_in_kernel(g: jax.Array, x: jax.Array, kernel: ad.UndefinedPrimal, **params: Any) -> jax.Array:
    dk = bind_kernel_grad(
        x.astype(g.dtype), g, params["geometry"], algorithm=params["algorithm"], precision=params["precision"]
    )
    return _as_cotangent(dk, kernel)


def _kernel_grad_transposed_in_x(dk: jax.Array, x: ad.UndefinedPrimal, g: jax.Array, **params: Any) -> jax.Array:
    geometry = params["geometry"]
    dx = bind_conv(
        g,
        transpose_kernel(dk, geometry.groups),
        geometry.transposed(),
        algorithm=params["algorithm"],
        precision=params["precision"],
    )
    return _as_cotangent(dx, x)


def _kernel_grad_transposed_in_g(dk: jax.Array, x: jax.Array, g: ad.UndefinedPrimal, **params: Any) -> jax.Array:
    y = bind_conv(x, dk, params["geometry"], algorithm=params["algorithm"], precision=params["precision"])
    return _as_cotangent(y, g)


def _as_cotangent(value: jax.Array, primal: ad.UndefinedPrimal) -> jax.Array:
    """The value in the dtype of the operand whose cotangent it is, split over the mesh as that operand is."""
    value, wanted = value.astype(primal.aval.dtype), primal.aval.sharding
    if jax.typeof(value).sharding == wanted or wanted.mesh.empty:
        return value
    return jax.sharding.reshard(value, wanted)


ad.defbilinear(conv_p, _conv_transposed_in_x, _conv_transposed_in_kernel)
ad.defbilinear(kernel_grad_p, _kernel_grad_transposed_in_x, _kernel_grad_transposed_in_g)


# -------------------------------------------------------------------------------------------------------- batching


def _batch_conv(operands: tuple[jax.Array, jax.Array], axes: tuple[Any, Any], **params: Any) -> tuple[jax.Array, int]:
    """A batched ``x`` has one more batch axis; a batched kernel more channels; with both, there are more groups."""
    (x, kernel), (x_axis, kernel_axis), geometry = operands, axes, params.pop("geometry")
    if kernel_axis is None:
        x = jnp.moveaxis(x, x_axis, 0)
        more = dataclasses.replace(geometry, batch_shape=(x.shape[0], *geometry.batch_shape))
        return conv_p.bind(x, kernel, geometry=more, **params), 0
    size = kernel.shape[kernel_axis]
    if size == 0:
        return jnp.zeros((0, *geometry.out_shape), params["preferred_element_type"] or x.dtype), 0
    kernel = jnp.moveaxis(kernel, kernel_axis, 0)
    if x_axis is None:
        more = dataclasses.replace(geometry, out_channels=size * geometry.out_channels)
        y = conv_p.bind(x, _fold(kernel, geometry.groups), geometry=more, **params)
        return _unfold(y, size, geometry.groups), 0
    y = conv_p.bind(
        _fold(jnp.moveaxis(x, x_axis, 0), 1), _fold(kernel, 1), geometry=_repeated(geometry, size), **params
    )
    return _unfold(y, size, 1), 0


def _batch_kernel_grad(
    operands: tuple[jax.Array, jax.Array], axes: tuple[Any, Any], **params: Any
) -> tuple[jax.Array, int]:
    """One kernel gradient per example: more channels on the side that is batched, more groups if both are."""
    (x, g), (x_axis, g_axis), geometry = operands, axes, params.pop("geometry")
    if 0 in [a.shape[axis] for a, axis in zip(operands, axes, strict=True) if axis is not None]:
        return jnp.zeros((0, *geometry.kernel_shape), x.dtype), 0
    if x_axis is None:
        size = g.shape[g_axis]
        more = dataclasses.replace(geometry, out_channels=size * geometry.out_channels)
        dk = kernel_grad_p.bind(x, _fold(jnp.moveaxis(g, g_axis, 0), geometry.groups), geometry=more, **params)
        return _unfold(dk, size, geometry.groups), 0
    size = x.shape[x_axis]
    x = jnp.moveaxis(x, x_axis, 0)
    if g_axis is None:
        more = dataclasses.replace(geometry, in_channels=size * geometry.in_channels)
        dk = kernel_grad_p.bind(_fold(x, geometry.groups), g, geometry=more, **params)
        return jnp.swapaxes(_unfold(jnp.swapaxes(dk, -1, -2), size, 1), -1, -2), 0
    g = jnp.moveaxis(g, g_axis, 0)
    dk = kernel_grad_p.bind(_fold(x, 1), _fold(g, 1), geometry=_repeated(geometry, size), **params)
    return _unfold(dk, size, 1), 0


def _repeated(geometry: ConvGeometry, times: int) -> ConvGeometry:
    """That many convolutions side by side, each with its own channels."""
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


batching.primitive_batchers[conv_p] = _batch_conv
batching.primitive_batchers[kernel_grad_p] = _batch_kernel_grad


# -------------------------------------------------------------------------------------------------------- lowering


def _lower(compute: Callable[..., jax.Array], platform: str) -> Callable[..., Any]:
    """The rule that traces the formulation taken on a platform."""

    def rule(ctx: Any, *operands: Any, **params: Any) -> Any:
        def traced(*operands: jax.Array) -> jax.Array:
            return compute(*operands, platform=platform, partitioned=is_partitioned(ctx), **params)

        return mlir.lower_fun(traced, multiple_results=False)(ctx, *operands)

    return rule


def is_partitioned(ctx: Any) -> bool:
    """Whether XLA will split the program that is being lowered over several devices, at places it chooses itself.

    Inside a ``shard_map`` over every axis, as inside ``pmap``, the program is already that of one device.
    """
    axes = ctx.module_context.axis_context
    if hasattr(axes, "manual_axes"):
        return any(size > 1 for name, size in axes.mesh.shape.items() if name not in axes.manual_axes)
    return getattr(axes, "num_devices", 1) != 1


def _run(compute: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """What an operation outside of ``jit`` does: its own small program."""

    @functools.partial(jax.jit, static_argnames=("params", "platform", "partitioned"))
    def program(*operands: jax.Array, params: tuple[Any, ...], platform: str, partitioned: bool) -> jax.Array:
        return compute(*operands, **dict(params), platform=platform, partitioned=partitioned)

    def run(*operands: jax.Array, **params: Any) -> jax.Array:
        devices = max((operand.devices() for operand in operands), key=len)
        platform = next(iter(devices)).platform  # "gpu" for CUDA and ROCm alike
        return program(*operands, params=tuple(params.items()), platform=platform, partitioned=len(devices) > 1)

    return run


for _primitive, _compute in ((conv_p, compute_conv), (kernel_grad_p, compute_kernel_grad)):
    _primitive.def_impl(_run(_compute))
    mlir.register_lowering(_primitive, _lower(_compute, "other"))
    for _jax_name, _platform in PLATFORMS.items():
        mlir.register_lowering(_primitive, _lower(_compute, _platform), platform=_jax_name)
