"""The operations that ``jaxcnn bench --tune`` measures."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcnn._errors import check_choice
from jaxcnn._geometry import conv_geometry
from jaxcnn.functional._engine import (
    ALGORITHMS,
    MEASURED_ALGORITHMS,
    OPERATIONS,
    BaseOperation,
    ConvPlan,
    Operation,
    conv_p,
    kernel_grad_p,
    key,
    task_of,
)


@dataclasses.dataclass(frozen=True, repr=False)
class ConvOperation:
    """One operation of a convolution, with one batch axis: a line of a table of ``jaxcnn bench --tune``.

    ``conv_operation`` and ``conv_operations`` make them. Operations that are computed equally are equal.

    Attributes:
        operation: ``"forward"`` or ``"kernel_grad"``; an input gradient is the forward operation of another
            convolution.

    >>> conv_operation((8, 32, 32, 3), (3, 3, 3, 16)).operand_shapes
    ((8, 32, 32, 3), (3, 3, 3, 16))
    """

    operation: BaseOperation
    _plan: ConvPlan

    @property
    def key(self) -> str:
        """Its name in the table."""
        return key(self._plan, self.operation)

    @property
    def dtype(self) -> Any:
        """The dtype of the operands."""
        return self._plan.dtype

    @property
    def operand_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of ``x`` and the kernel, or of ``x`` and the cotangent of ``y`` for a kernel gradient."""
        geometry = self._plan.geometry
        return geometry.x_shape, geometry.kernel_shape if self.operation == "forward" else geometry.out_shape

    def algorithms(self) -> dict[str, Callable[[jax.Array, jax.Array], jax.Array]]:
        """A function of the operands for each algorithm that ``algorithm="auto"`` may select."""
        return {
            name: self._function(name)
            for name, algorithm in ALGORITHMS.items()
            if algorithm.why_not_auto(self._plan, self.operation) is None
        }

    def risky_algorithms(self) -> dict[str, Callable[[jax.Array, jax.Array], jax.Array]]:
        """A function of the operands for each algorithm that only a table may name.

        An operation that such an algorithm rejects terminates the process, so call the function in a child process
        first.
        """
        return {
            name: self._function(name)
            for name, algorithm in MEASURED_ALGORITHMS.items()
            if algorithm.why_not_auto(self._plan, self.operation) is None
        }

    def reference(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """The function of XLA's own convolution, to compare results with; ``"auto"`` may not select it for groups."""
        return self._function("xla")

    def _function(self, name: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
        return functools.partial(getattr((ALGORITHMS | MEASURED_ALGORITHMS)[name], self.operation), plan=self._plan)

    def __repr__(self) -> str:
        return f"ConvOperation({self.key!r})"


def conv_operation(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    operation: Operation = "forward",
    dtype: DTypeLike = jnp.float32,
    **options: Any,
) -> ConvOperation:
    """One operation of a convolution, with the geometry on which it is computed.

    Args:
        x_shape: shape of ``x``.
        kernel_shape: shape of the kernel.
        operation: ``"forward"``, ``"input_grad"`` or ``"kernel_grad"``.
        dtype: of the operands.
        **options: ``strides``, ``padding`` and the other options of ``conv`` that the shapes depend on.

    Raises:
        ShapeError: shapes that ``conv`` refuses.
        ValueError: an operation that does not exist.

    >>> conv_operation((2, 4, 8, 8, 3), (3, 3, 3, 6), strides=2, operation="input_grad").operand_shapes
    ((8, 4, 4, 6), (3, 3, 6, 3))
    """
    check_choice(operation, OPERATIONS, name="operation")
    geometry = conv_geometry(tuple(x_shape), tuple(kernel_shape), **options)
    return _operation(ConvPlan(geometry=geometry, dtype=dtype), operation)


def conv_operations(function: Callable[..., Any], *args: Any) -> list[ConvOperation]:
    """The distinct operations of all convolutions of this library that a function computes; nothing is computed.

    Args:
        function: of arrays, such as a training step.
        *args: its arguments, arrays or ``jax.ShapeDtypeStruct``.

    >>> import jax
    >>> from jaxcnn import functional as F
    >>> x, kernel = jax.ShapeDtypeStruct((8, 8, 3), "float32"), jax.ShapeDtypeStruct((3, 3, 3, 4), "float32")
    >>> loss = lambda kernel, x: F.conv(x, kernel).sum()
    >>> [each.operation for each in conv_operations(jax.grad(loss), kernel, x)]
    ['forward', 'kernel_grad']
    """
    found = []
    for equation in _equations(jax.make_jaxpr(function)(*args).jaxpr):
        if equation.primitive in (conv_p, kernel_grad_p):
            operation: Operation = "forward" if equation.primitive is conv_p else "kernel_grad"
            found.append(_operation(equation.params["plan"], operation))
    return list(dict.fromkeys(found))


def _operation(plan: ConvPlan, operation: Operation) -> ConvOperation:
    task = task_of(plan, operation)
    plan = ConvPlan(geometry=task.plan.geometry, dtype=task.plan.dtype).with_merged_batch()
    return ConvOperation(task.operation, plan)


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a program, including those of inner programs."""
    for equation in jaxpr.eqns:
        yield equation
        for leaf in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(leaf):
                yield from _equations(getattr(leaf, "jaxpr", leaf))


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
