"""A convolution and its kernel gradient as two bilinear primitives, which are closed under differentiation.

For differentiation, batching and sharding a convolution is one operation with a plan. So each derivative, of any order,
is again such an operation, and its algorithm is selected separately. The algorithm is selected when the program is
lowered, since the platform is known only then. With ``f`` the convolution, ``w`` its kernel gradient and ``T`` the
transposition of a kernel:

    f is linear in x: its transpose is f(g, T kernel) of the transposed plan;  in kernel: w(x, g)
    w is linear in x: its transpose is f(g, T dk) of the transposed plan;      in g: f(x, dk)
"""

import functools
import operator
import sys
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from jaxcnn._portable import is_portable
from jaxcnn.functional._engine import _batching
from jaxcnn.functional._engine._algorithms import transpose_kernel, transposed_kernel_grad, xla_forward
from jaxcnn.functional._engine._choose import compute
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan, Partitioned

conv_p = Primitive("conv")
kernel_grad_p = Primitive("conv_kernel_grad")

PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}  # JAX's names, and those of this library
JET = "jax.experimental.jet"


def bind_conv(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y`` from ``x`` and ``kernel`` of the plan's dtype."""
    if is_portable():
        return xla_forward(x, kernel, plan)
    return _bind(conv_p, x, kernel, plan)


def bind_kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The cotangent of the kernel from ``x`` and the cotangent of ``y``, of the plan's dtype."""
    if is_portable():
        return transposed_kernel_grad(xla_forward, x, g, plan)
    return _bind(kernel_grad_p, x, g, plan)


def _bind(primitive: Primitive, first: jax.Array, second: jax.Array, plan: ConvPlan) -> jax.Array:
    assert first.dtype == second.dtype == plan.dtype, (first.dtype, second.dtype, plan.dtype)
    _add_jet_rule(primitive)
    first, second = _vary_together(first, second)
    return primitive.bind(first, second, plan=plan)


def _vary_together(*operands: jax.Array) -> list[jax.Array]:
    """Operands that vary over the same axes of a ``shard_map``; the transpose of the cast sums a gradient over them."""
    varying = [jax.typeof(operand).manual_axis_type.varying for operand in operands]
    missing = [tuple(frozenset().union(*varying) - own) for own in varying]
    return [
        lax.pcast(operand, names, to="varying") if names else operand
        for operand, names in zip(operands, missing, strict=True)
    ]


# ---------------------------------------------------------------------------------------------- type of the result


def _conv_type(x: Any, kernel: Any, *, plan: ConvPlan) -> Any:
    if _is_plain(x, kernel):
        return jax.core.ShapedArray(plan.geometry.out_shape, plan.out_dtype)
    return _type_of(functools.partial(xla_forward, plan=plan), x, kernel)


def _kernel_grad_type(x: Any, g: Any, *, plan: ConvPlan) -> Any:
    if _is_plain(x, g):
        return jax.core.ShapedArray(plan.geometry.kernel_shape, plan.dtype)
    return _type_of(functools.partial(transposed_kernel_grad, xla_forward, plan=plan), x, g)


def _is_plain(*avals: Any) -> bool:
    """Whether the types name no mesh axis, as outside of meshes with Explicit axes and of ``shard_map``."""
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


def _conv_transposed_in_x(g: jax.Array, x: ad.UndefinedPrimal, kernel: jax.Array, *, plan: ConvPlan) -> jax.Array:
    kernel = transpose_kernel(kernel.astype(g.dtype), plan.geometry.groups)
    return _as_cotangent(bind_conv(g, kernel, plan.of_cotangent().transposed()), x)


def _conv_transposed_in_kernel(g: jax.Array, x: jax.Array, kernel: ad.UndefinedPrimal, *, plan: ConvPlan) -> jax.Array:
    return _as_cotangent(bind_kernel_grad(x.astype(g.dtype), g, plan.of_cotangent()), kernel)


def _kernel_grad_transposed_in_x(dk: jax.Array, x: ad.UndefinedPrimal, g: jax.Array, *, plan: ConvPlan) -> jax.Array:
    return _as_cotangent(bind_conv(g, transpose_kernel(dk, plan.geometry.groups), plan.transposed()), x)


def _kernel_grad_transposed_in_g(dk: jax.Array, x: jax.Array, g: ad.UndefinedPrimal, *, plan: ConvPlan) -> jax.Array:
    return _as_cotangent(bind_conv(x, dk, plan), g)


def _as_cotangent(value: jax.Array, primal: ad.UndefinedPrimal) -> jax.Array:
    """The value with the dtype and the sharding of the operand whose cotangent it is."""
    value, sharding = value.astype(primal.aval.dtype), primal.aval.sharding
    if jax.typeof(value).sharding == sharding or sharding.mesh.empty:
        return value
    return jax.sharding.reshard(value, sharding)


ad.defbilinear(conv_p, _conv_transposed_in_x, _conv_transposed_in_kernel)
ad.defbilinear(kernel_grad_p, _kernel_grad_transposed_in_x, _kernel_grad_transposed_in_g)
_batching.register(conv_p, kernel_grad_p)


# -------------------------------------------------------------------------------------------------------- lowering


def _lower(operation: BaseOperation, platform: str) -> Callable[..., Any]:
    """The rule that traces the algorithm of a platform."""

    def rule(ctx: Any, *operands: Any, plan: ConvPlan) -> Any:
        traced = functools.partial(
            compute,
            plan=plan,
            operation=operation,
            platform=platform,
            partitioned=partitioning(ctx),
            exported=is_exported(ctx),
        )
        return mlir.lower_fun(traced, multiple_results=False)(ctx, *operands)

    return rule


def partitioning(ctx: Any) -> Partitioned:
    """Whether XLA will partition the program that is being lowered over several devices.

    Inside a ``shard_map`` over every axis, as inside ``pmap``, the program is already that of one device. Under plain
    ``jit`` the mesh is known if it is the current one (``jax.set_mesh``).
    """
    axes = ctx.module_context.axis_context
    if hasattr(axes, "manual_axes"):
        return _over(size for name, size in axes.mesh.shape.items() if name not in axes.manual_axes)
    devices, mesh = getattr(axes, "num_devices", 1), jax.sharding.get_abstract_mesh()
    return _over(mesh.shape.values()) if mesh.size == devices else devices > 1


def is_exported(ctx: Any) -> bool:
    """Whether the program that is being lowered is written by ``jax.export``, for another process or machine."""
    return ctx.module_context.lowering_parameters.for_export


def _over(sizes: Iterable[int]) -> Partitioned:
    """Whether XLA partitions a program over a mesh with axes of these sizes."""
    number = sum(size > 1 for size in sizes)
    return "one axis" if number == 1 else number > 1


_program = jax.jit(compute, static_argnames=("plan", "operation", "platform", "partitioned"))


def _run(operation: BaseOperation, *operands: jax.Array, plan: ConvPlan) -> jax.Array:
    """Outside of ``jit`` an operation is a program of its own."""
    # Arrays of NumPy in a jaxpr, such as constants under ``jax.checkpoint``, are of a type without devices.
    operands = tuple(each if isinstance(each, jax.Array) else jnp.asarray(np.asarray(each)) for each in operands)
    devices = max((operand.devices() for operand in operands), key=len)
    platform = next(iter(devices)).platform  # "gpu" for CUDA and ROCm alike
    return _program(*operands, plan=plan, operation=operation, platform=platform, partitioned=len(devices) > 1)


_OPERATIONS: dict[Primitive, BaseOperation] = {conv_p: "forward", kernel_grad_p: "kernel_grad"}
for _primitive, _operation in _OPERATIONS.items():
    _primitive.def_impl(functools.partial(_run, _operation))
    mlir.register_lowering(_primitive, _lower(_operation, "other"))
    for _jax_name, _platform in PLATFORMS.items():
        mlir.register_lowering(_primitive, _lower(_operation, _platform), platform=_jax_name)


# ------------------------------------------------------------------------------------------------------ Taylor mode


def _add_jet_rule(primitive: Primitive) -> None:
    """Registers a rule for ``jax.experimental.jet`` if the program has imported it.

    JAX keeps the rules in the experimental module, which this library does not import.
    """
    rules = getattr(sys.modules.get(JET), "jet_rules", None)
    if rules is not None and primitive not in rules:
        rules[primitive] = functools.partial(_bilinear_jet_rule, primitive)


def _bilinear_jet_rule(primitive: Primitive, primals: Any, series: Any, **params: Any) -> tuple[Any, list[Any]]:
    """Leibniz' rule: ``v[k] = sum over j of op(u[j], w[k - j])`` for terms divided by ``k!``, as within ``jet``."""
    (first, second), (first_terms, second_terms) = primals, series
    u, w = [first, *first_terms], [second, *second_terms]
    value, *terms = (
        functools.reduce(operator.add, [primitive.bind(u[j], w[k - j], **params) for j in range(k + 1)])
        for k in range(len(u))
    )
    return value, terms
