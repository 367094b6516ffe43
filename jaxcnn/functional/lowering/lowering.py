"""What every formulation of a convolution offers, whatever it does inside."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax

from jaxcnn._geometry import ConvGeometry

# The gradient by the input is the ``forward`` of the transposed geometry, so two operations are all there are.
Operation = Literal["forward", "kernel_grad"]

# ``forward(x, kernel, geometry, *, precision, preferred_element_type)``: arrays of one dtype, shaped as the geometry
# says, to ``y`` of ``geometry.out_shape`` in ``preferred_element_type``, or else in the dtype of the operands.
Forward = Callable[..., jax.Array]

# ``kernel_grad(x, g, geometry, *, precision)``: arrays of one dtype, of ``geometry.x_shape`` and
# ``geometry.out_shape``, to the kernel's cotangent, of ``geometry.kernel_shape`` and the same dtype.
KernelGrad = Callable[..., jax.Array]

# ``unserved(geometry, dtype, operation)``: why these are outside the domain, or None where they are inside.
Unserved = Callable[[ConvGeometry, Any, Operation], str | None]

# ``inexact(geometry, operation)``: why "auto" does not take an algorithm that supports this, or None where it may.
Inexact = Callable[[ConvGeometry, Operation], str | None]

# ``estimate(geometry, dtype, operation)``: seconds on the two-core CPU that the rule was calibrated on.
Estimate = Callable[[ConvGeometry, Any, Operation], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lowering:
    """One way to compute a convolution, with the domain on which it is exact and what it costs there.

    The functions are traced when a program is lowered, after differentiation and batching, so they need neither be
    differentiable nor batchable. A formulation that ``partitions`` an operation takes any number of batch axes, and
    is made of operations that XLA's partitioner splits along them without moving data. Every other one is given
    exactly one batch axis, all of it on one device.

    ``algorithm="auto"`` takes what satisfies two rules. An output depends only on the entries that it reads by
    definition (which includes the zeros of padding and dilation), so that no infinity or NaN spreads further. And its
    error is a small multiple of the rounding of the sum over what it reads; ``winograd`` states its own, weaker bound.
    What does not is ``inexact`` and is used by name only.
    """

    name: str
    unserved: Unserved
    estimate: Estimate
    forward: Forward | None = None
    kernel_grad: KernelGrad | None = None
    partitions: frozenset[Operation] = frozenset()
    symbolic: bool = False  # whether every size may be symbolic; the batch may be where an operation is partitioned
    inexact: Inexact = lambda geometry, operation: None

    def why_not(self, geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
        """Why this formulation does not serve the operation, or None where it does."""
        if getattr(self, operation) is None:
            return f"it has no {operation.replace('_', ' ')}"
        sized = geometry.with_batch() if operation in self.partitions else geometry
        if not self.symbolic and not sized.is_static:
            return f"it requires sizes that are integers, and these are {sized.x_shape} and {sized.out_shape}"
        return self.unserved(geometry, dtype, operation)

    def why_not_auto(self, geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
        """Why ``algorithm="auto"`` does not consider it for the operation, or None where it does."""
        return self.why_not(geometry, dtype, operation) or self.inexact(geometry, operation)
