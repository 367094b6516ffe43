"""The three operations of a convolution, with the padding, flip and conversion that are not part of the primitives."""

import jax
from jax import lax

from jaxcnn._errors import check_choice
from jaxcnn.functional._engine._algorithms import ALGORITHMS, share_mesh, transpose_kernel
from jaxcnn.functional._engine._plan import ConvPlan, Operation, task_of
from jaxcnn.functional._engine._primitives import bind_conv, bind_kernel_grad
from jaxcnn.functional._padding import dilate_and_pad, dilate_and_pad_adjoint


def compute_conv(x: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """``y`` from ``x`` and ``kernel``."""
    check_algorithm(plan, "forward")
    x, kernel = _pad(x.astype(plan.dtype), plan), _flip(kernel.astype(plan.dtype), plan)
    return _convert(bind_conv(x, share_mesh(x, kernel), plan.base()), plan)


def compute_input_grad(g: jax.Array, kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """The cotangent of ``x`` from that of ``y``: a convolution with the transposed kernel."""
    transposed = plan.base().transposed()
    check_algorithm(transposed, "forward")
    g, kernel = g.astype(plan.dtype), _flip(kernel.astype(plan.dtype), plan)
    kernel = transpose_kernel(share_mesh(g, kernel), plan.geometry.groups)
    dx = _convert(bind_conv(g, kernel, transposed), plan)
    if plan.padding_mode == "zeros":
        return dx
    geometry = plan.geometry
    return dilate_and_pad_adjoint(
        dx, geometry.sizes, geometry.pads, input_dilation=geometry.input_dilation, padding_mode=plan.padding_mode
    )


def compute_kernel_grad(x: jax.Array, g: jax.Array, plan: ConvPlan) -> jax.Array:
    """The cotangent of the kernel from ``x`` and the cotangent of ``y``."""
    check_algorithm(plan, "kernel_grad")
    x, g = x.astype(plan.out_dtype), g.astype(plan.out_dtype)
    return _flip(_convert(bind_kernel_grad(_pad(x, plan), g, plan.base().of_cotangent()), plan), plan)


def check_algorithm(plan: ConvPlan, operation: Operation) -> None:
    """Refuses a name that does not exist, or an algorithm that does not support the operation.

    Raises:
        ValueError: with the names that exist, or the reason.
    """
    check_choice(plan.algorithm, ["auto", *ALGORITHMS], name="algorithm")
    if plan.algorithm == "auto":
        return
    task = task_of(plan, operation)
    why_not = ALGORITHMS[plan.algorithm].why_not(task.plan, task.operation)
    if why_not is not None:
        raise ValueError(
            f'algorithm={plan.algorithm!r} does not support this: {why_not}. algorithm="auto" selects one that does.'
        )


def _pad(x: jax.Array, plan: ConvPlan) -> jax.Array:
    """Padding other than zeros, which the algorithms do not implement."""
    if plan.padding_mode == "zeros":
        return x
    geometry = plan.geometry
    return dilate_and_pad(x, geometry.pads, input_dilation=geometry.input_dilation, padding_mode=plan.padding_mode)


def _flip(kernel: jax.Array, plan: ConvPlan) -> jax.Array:
    """The kernel, with its window reversed if the plan flips it."""
    return lax.rev(kernel, range(kernel.ndim - 2)) if plan.flip_kernel else kernel


def _convert(result: jax.Array, plan: ConvPlan) -> jax.Array:
    return result if plan.result_dtype is None else result.astype(plan.result_dtype)
