"""The three operations of a convolution, each computed by the formulation that is asked for or chosen."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional.lowering.batch import share_mesh
from jaxcnn.functional.lowering.choice import Choice, Operation, choose
from jaxcnn.functional.lowering.lowering import Lowering
from jaxcnn.functional.lowering.registry import LOWERINGS
from jaxcnn.functional.lowering.taps import kernel_grad_by_taps
from jaxcnn.shapes.conv import ConvGeometry
from jaxcnn.shapes.errors import ShapeError, check_choice


def forward(
    x: jax.Array,
    kernel: jax.Array,
    geometry: ConvGeometry,
    *,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any,
    who: str,
) -> jax.Array:
    """``y`` from ``x`` and ``kernel``."""
    lowering = _lowering_for(geometry, x, algorithm=algorithm, operation="forward", who=who)
    return lowering.compute(
        x, share_mesh(x, kernel), geometry, precision=precision, preferred_element_type=preferred_element_type
    )


def input_grad(
    g: jax.Array,
    kernel: jax.Array,
    geometry: ConvGeometry,
    *,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any,
    who: str,
) -> jax.Array:
    """The cotangent of ``x`` from that of ``y``: the transposed geometry with the transposed kernel."""
    back = geometry.transposed()
    lowering = _lowering_for(back, g, algorithm=algorithm, operation="input_grad", who=who)
    return lowering.compute(
        g,
        transpose_kernel(share_mesh(g, kernel), geometry.groups),
        back,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def kernel_grad(
    x: jax.Array,
    g: jax.Array,
    geometry: ConvGeometry,
    *,
    algorithm: str,
    precision: Any,
    who: str,
) -> jax.Array:
    """The cotangent of the kernel from ``x`` and the cotangent of ``y``: the linear transpose of the forward map.

    JAX transposes no functions of integers, so those are summed tap by tap.
    """
    lowering = _lowering_for(geometry, x, algorithm=algorithm, operation="kernel_grad", who=who)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return kernel_grad_by_taps(x, g, geometry)

    def compute(kernel: jax.Array) -> jax.Array:
        return lowering.compute(x, kernel, geometry, precision=precision, preferred_element_type=None)

    return jax.linear_transpose(compute, zeros_like_product(geometry.kernel_shape, x, g))(g)[0]


def zeros_like_product(shape: tuple[int, ...], *operands: jax.Array) -> jax.Array:
    """Zeros of the dtype of the operands that vary over whatever mesh axes the operands vary over.

    Under ``shard_map`` a constant is the same on every device, so the transpose of a function of a constant would
    sum over devices. An empty sum of each operand makes the zeros local, as the operands are.
    """
    zeros = jnp.zeros(shape, operands[0].dtype)
    for operand in operands:
        zeros += jnp.sum(lax.slice_in_dim(operand, 0, 0, axis=operand.ndim - 1))
    return zeros


def transpose_kernel(kernel: jax.Array, groups: int) -> jax.Array:
    """Flips the window and swaps the channels of each group: ``(*window, i, g * o)`` to ``(*window, o, g * i)``."""
    ndim = kernel.ndim - 2
    per_group = kernel.shape[-1] // groups
    split = lax.reshape(lax.rev(kernel, range(ndim)), (*kernel.shape[:-1], groups, per_group))
    swapped = lax.transpose(split, (*range(ndim), ndim + 2, ndim + 1, ndim))
    return lax.reshape(swapped, (*kernel.shape[:-2], per_group, groups * kernel.shape[-2]))


def explain(
    geometry: ConvGeometry, *, algorithm: str, operation: Operation, dtype: Any, platform: str, who: str
) -> Choice:
    """The formulation that is taken, and why."""
    check_choice(algorithm, ["auto", *LOWERINGS], who=who, name="algorithm")
    if algorithm == "auto":
        return choose(geometry, operation=operation, dtype=dtype, platform=platform)
    why_not = LOWERINGS[algorithm].unserved(geometry, dtype)
    if why_not is not None:
        raise ShapeError(f'{who}: algorithm={algorithm!r} does not serve this: {why_not}. algorithm="auto" picks one.')
    return Choice(algorithm, "asked for by name")


def platform_of(x: jax.Array) -> str:
    """Where the computation will run, as far as tracing can tell: the devices of ``x``, else the default."""
    if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
        return next(iter(x.devices())).platform
    default = jax.config.jax_default_device  # type: ignore[attr-defined]
    if isinstance(default, str):
        return default
    return jax.default_backend() if default is None else default.platform


def _lowering_for(geometry: ConvGeometry, x: jax.Array, *, algorithm: str, operation: Operation, who: str) -> Lowering:
    choice = explain(
        geometry, algorithm=algorithm, operation=operation, dtype=x.dtype, platform=platform_of(x), who=who
    )
    return LOWERINGS[choice.algorithm]
