"""A 1x1 convolution as the matrix product that it is."""

from typing import Any

import jax
from jax import lax

from jaxcnn.functional.lowering.lowering import Lowering
from jaxcnn.functional.lowering.taps import padded_for, tap_slice
from jaxcnn.shapes.conv import ConvGeometry


def compute(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """Contracts the channels of every position that the strides keep."""
    read = tap_slice(padded_for(x, geometry), (0,) * geometry.ndim, geometry)
    return lax.dot_general(
        read,
        lax.reshape(kernel, kernel.shape[-2:]),
        (((read.ndim - 1,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def unserved(geometry: ConvGeometry, dtype: Any) -> str | None:
    """Serves windows of one position and one group."""
    if any(entry != 1 for entry in geometry.window):
        return f"it wants a window of one position, and this one is {geometry.window}"
    if geometry.groups != 1:
        return f"it wants one group, and there are {geometry.groups}"
    return None


LOWERING = Lowering("matmul", compute, unserved)
