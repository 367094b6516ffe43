"""What every formulation of a convolution offers, whatever it does inside."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from jaxcnn.shapes.conv import ConvGeometry

# ``compute(x, kernel, geometry, *, precision, preferred_element_type)``: ``x`` with any number of batch axes and
# ``kernel``, of one dtype, shaped as the geometry says, to ``y`` of ``geometry.out_shape`` in
# ``preferred_element_type``, or else in the dtype of the operands. Made of differentiable JAX
# alone, so that every transform goes through.
Compute = Callable[..., jax.Array]

# ``unserved(geometry, dtype)``: why these are outside the domain, or None where they are inside.
Unserved = Callable[[ConvGeometry, Any], str | None]


@dataclasses.dataclass(frozen=True)
class Lowering:
    """One way to compute a convolution, with the domain on which it is exact."""

    name: str
    compute: Compute
    unserved: Unserved
