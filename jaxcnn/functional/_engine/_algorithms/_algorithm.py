"""What an algorithm provides, and when ``algorithm="auto"`` may select it."""

import dataclasses
from collections.abc import Callable

import jax

from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

# ``forward(x, kernel, plan)``: arrays of the plan's dtype and shapes, to ``y`` in the plan's ``out_dtype``.
Forward = Callable[[jax.Array, jax.Array, ConvPlan], jax.Array]

# ``kernel_grad(x, g, plan)``: ``x`` and the cotangent of ``y``, of the plan's dtype, to the kernel's cotangent.
KernelGrad = Callable[[jax.Array, jax.Array, ConvPlan], jax.Array]

# ``unsupported(plan, operation)``: why the algorithm cannot compute this, or None if it can.
Unsupported = Callable[[ConvPlan, BaseOperation], str | None]

# ``inexact(plan, operation)``: why "auto" does not select an algorithm that supports this, or None if it may.
Inexact = Callable[[ConvPlan, BaseOperation], str | None]

# ``estimate(plan, operation)``: seconds on the two-core CPU that the estimates were calibrated on.
Estimate = Callable[[ConvPlan, BaseOperation], float]

_RESULTS: dict[BaseOperation, str] = {"forward": "forward pass", "kernel_grad": "kernel gradient"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A method to compute the operations of a convolution, with the plans that it supports and an estimate of its time.

    The functions are traced when a program is lowered, after differentiation and batching, so they need be neither
    differentiable nor batchable. If ``partitionable`` contains an operation, the algorithm supports any number of batch
    axes for it, and consists of operations that XLA's partitioner splits along these axes without moving data.
    Otherwise the arrays have exactly one batch axis, all of it on one device.

    ``algorithm="auto"`` selects algorithms with two properties. An output depends only on the entries that it reads by
    definition (which includes the zeros of padding and dilation), so that no infinity or NaN spreads further. Its error
    is a small multiple of the rounding of the sum over these entries; ``winograd`` documents its own, weaker bound. An
    algorithm without these properties is ``inexact``, and is used by name only.
    """

    name: str
    unsupported: Unsupported
    estimate: Estimate
    forward: Forward | None = None
    kernel_grad: KernelGrad | None = None
    partitionable: frozenset[BaseOperation] = frozenset()
    symbolic: bool = False  # whether every size may be symbolic; the batch may be where an operation is partitionable
    inexact: Inexact = lambda plan, operation: None

    def why_not(self, plan: ConvPlan, operation: BaseOperation) -> str | None:
        """Why this algorithm does not support the operation, or None if it does."""
        if getattr(self, operation) is None:
            return f"it computes no {_RESULTS[operation]}"
        geometry = plan.geometry
        sized = geometry.with_batch() if operation in self.partitionable else geometry
        if not self.symbolic and not sized.is_static:
            return f"it requires sizes that are integers, and these are {sized.x_shape} and {sized.out_shape}"
        return self.unsupported(plan, operation)

    def why_not_auto(self, plan: ConvPlan, operation: BaseOperation) -> str | None:
        """Why ``algorithm="auto"`` does not select it for the operation, or None if it may."""
        return self.why_not(plan, operation) or self.inexact(plan, operation)
