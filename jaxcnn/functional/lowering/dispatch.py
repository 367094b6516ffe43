"""The three operations of a convolution, as the public functions call them."""

from typing import Any

import jax

from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.batch import share_mesh
from jaxcnn.functional.lowering.choice import Choice, choose
from jaxcnn.functional.lowering.compute import exchanges_operands
from jaxcnn.functional.lowering.kernels import transpose_kernel
from jaxcnn.functional.lowering.lowering import Operation
from jaxcnn.functional.lowering.primitives import bind_conv, bind_kernel_grad
from jaxcnn.functional.lowering.registry import LOWERINGS


def forward(
    x: jax.Array,
    kernel: jax.Array,
    geometry: ConvGeometry,
    *,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any,
) -> jax.Array:
    """``y`` from ``x`` and ``kernel``."""
    check_algorithm(algorithm, geometry, x.dtype, "forward")
    return bind_conv(
        x,
        share_mesh(x, kernel),
        geometry,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def input_grad(
    g: jax.Array,
    kernel: jax.Array,
    geometry: ConvGeometry,
    *,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any,
) -> jax.Array:
    """The cotangent of ``x`` from that of ``y``: the transposed geometry with the transposed kernel."""
    back = geometry.transposed()
    check_algorithm(algorithm, back, g.dtype, "forward")
    return bind_conv(
        g,
        transpose_kernel(share_mesh(g, kernel), geometry.groups),
        back,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def kernel_grad(x: jax.Array, g: jax.Array, geometry: ConvGeometry, *, algorithm: str, precision: Any) -> jax.Array:
    """The cotangent of the kernel from ``x`` and the cotangent of ``y``."""
    check_algorithm(algorithm, geometry, x.dtype, "kernel_grad")
    return bind_kernel_grad(x, g, geometry, algorithm=algorithm, precision=precision)


def check_algorithm(algorithm: str, geometry: ConvGeometry, dtype: Any, operation: Operation) -> None:
    """Refuses a name that is none, or one that does not serve.

    Raises:
        ShapeError: naming what there is, or why it does not serve.
    """
    check_choice(algorithm, ["auto", *LOWERINGS], name="algorithm")
    geometry = _computed(geometry, operation)
    if algorithm == "auto":
        return
    why_not = LOWERINGS[algorithm].why_not(geometry, dtype, operation)
    if why_not is not None:
        raise ShapeError(f'algorithm={algorithm!r} does not serve this: {why_not}. algorithm="auto" picks one.')


def explain(geometry: ConvGeometry, *, algorithm: str, operation: Operation, dtype: Any, platform: str) -> Choice:
    """The formulation that is taken, and why."""
    check_algorithm(algorithm, geometry, dtype, operation)
    if algorithm != "auto":
        return Choice(algorithm, "asked for by name")
    return choose(_computed(geometry, operation), dtype, operation, platform=platform)


def _computed(geometry: ConvGeometry, operation: Operation) -> ConvGeometry:
    """The geometry that the algorithm is given."""
    return geometry.transposed() if operation == "kernel_grad" and exchanges_operands(geometry) else geometry
