"""Operations on each entry."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn.export._onnx._graph import Graph, long_axes, unsupported
from jaxcnn.export._onnx._orders import have_order, required_order
from jaxcnn.export._operations import Operation, Value

Emitter = Callable[[Graph, Operation], None]

# Primitives with one operand that ONNX has under another name.
UNARY = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "logistic": "Sigmoid",
    "neg": "Neg",
    "not": "Not",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
}
BINARY = {
    "add": "Add",
    "add_any": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "eq": "Equal",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "lt": "Less",
    "le": "LessOrEqual",
    "and": "And",
    "or": "Or",
    "xor": "Xor",
}


def unary(graph: Graph, operation: Operation) -> None:
    """A primitive that ONNX has."""
    _entrywise(graph, operation, lambda x: graph.node(UNARY[operation.name], x))


def binary(graph: Graph, operation: Operation) -> None:
    """A primitive with two operands that ONNX has."""
    kind = BINARY[operation.name]
    if operation.name == "max" and _is_zero(operation.inputs[1]):
        _entrywise(graph, operation, lambda x, _: graph.node("Relu", x))
    elif operation.name == "max" and _is_zero(operation.inputs[0]):
        _entrywise(graph, operation, lambda _, x: graph.node("Relu", x))
    else:
        _entrywise(graph, operation, lambda x, y: graph.node(kind, x, y))


def _is_zero(value: Value) -> bool:
    floating = jnp.issubdtype(value.dtype, jnp.floating)
    return floating and value.array is not None and value.array.size == 1 and not value.array.any()


def _composed(graph: Graph, operation: Operation) -> None:
    """A primitive that is two or three nodes."""
    dtype = operation.inputs[0].dtype

    def number(value: float) -> str:
        return graph.constant(np.asarray(value, dtype))

    def integer_pow(x: str) -> str:
        power = operation.params["y"]
        if power == 2:
            return graph.node("Mul", x, x)
        return graph.node("Reciprocal", x) if power == -1 else graph.node("Pow", x, number(power))

    rules: dict[str, Callable[[str], str]] = {
        "erfc": lambda x: graph.node("Sub", number(1), graph.node("Erf", x)),
        "exp2": lambda x: graph.node("Pow", number(2), x),
        "expm1": lambda x: graph.node("Sub", graph.node("Exp", x), number(1)),
        "integer_pow": integer_pow,
        "is_finite": lambda x: graph.node("Not", graph.node("Or", graph.node("IsInf", x), graph.node("IsNaN", x))),
        "log1p": lambda x: graph.node("Log", graph.node("Add", x, number(1))),
        "rsqrt": lambda x: graph.node("Reciprocal", graph.node("Sqrt", x)),
        "square": lambda x: graph.node("Mul", x, x),
    }
    _entrywise(graph, operation, rules[operation.name])


def _remainder(graph: Graph, operation: Operation) -> None:
    """The remainder, with the sign of the dividend."""
    _entrywise(graph, operation, lambda x, y: graph.node("Mod", x, y, fmod=1))


def _shift_left(graph: Graph, operation: Operation) -> None:
    """A product with a power of two: ONNX shifts unsigned integers only."""
    two = graph.constant(np.asarray(2, operation.outputs[0].dtype))
    _entrywise(graph, operation, lambda x, bits: graph.node("Mul", x, graph.node("Pow", two, bits)))


def _not_equal(graph: Graph, operation: Operation) -> None:
    _entrywise(graph, operation, lambda x, y: graph.node("Not", graph.node("Equal", x, y)))


def _convert(graph: Graph, operation: Operation) -> None:
    target = operation.params["new_dtype"]
    _entrywise(graph, operation, lambda x: graph.node("Cast", x, to=graph.element_type(target)))


def _clamp(graph: Graph, operation: Operation) -> None:
    if any(value.shape for value in (operation.inputs[0], operation.inputs[2])):
        raise unsupported(operation, "its bounds are not numbers")
    _entrywise(graph, operation, lambda low, x, high: graph.node("Clip", x, low, high))


def _select(graph: Graph, operation: Operation) -> None:
    if len(operation.inputs) != 3 or operation.inputs[0].dtype != np.bool_:
        raise unsupported(operation, "it selects from other than two arrays")
    dtype = operation.outputs[0].dtype
    _entrywise(graph, operation, lambda which, no, yes: selected(graph, which, no, yes, dtype))


def selected(graph: Graph, which: str, no: str, yes: str, dtype: Any) -> str:
    """Entries of one of two tensors; onnxruntime has no ``Where`` of booleans."""
    if dtype != np.bool_:
        return graph.node("Where", which, yes, no)
    return graph.node("Or", graph.node("And", which, yes), graph.node("And", graph.node("Not", which), no))


def _round(graph: Graph, operation: Operation) -> None:
    if operation.params["rounding_method"] != lax.RoundingMethod.TO_NEAREST_EVEN:
        raise unsupported(operation, "ONNX rounds to the nearest even integer only")
    _entrywise(graph, operation, lambda x: graph.node("Round", x))


def _entrywise(graph: Graph, operation: Operation, make: Callable[..., str]) -> None:
    """Adds the nodes of an operation on each entry, with the axes of all operands in the order of one of them.

    This is the operand with the most axes whose size is not 1: reordering the others moves less data, or none.
    """
    result = operation.outputs[0]
    arrays = [value for value in operation.inputs if not value.is_constant and value.shape]
    leader = max(arrays, key=lambda value: len(long_axes(value.shape)), default=None)
    tensor = None if leader is None else graph.tensor(leader)
    if tensor is not None and tensor.blocks:
        names = [_in_blocks(graph, value, tensor.blocks) for value in operation.inputs]
        if all(name is not None for name in names):
            graph.set(result, make(*names), blocks=tensor.blocks)
            return
    axes = tuple(range(len(result.shape))) if leader is None else graph.axes(leader)
    if leader is not None and len(long_axes(result.shape)) > len(long_axes(leader.shape)):  # no array has all axes
        order = required_order(graph, result)
        axes = order if order is not None and have_order(graph, arrays, order) else axes
    names = [graph.ordered(value, axes) if value.shape else graph.natural(value) for value in operation.inputs]
    graph.set(result, make(*names), axes)


def _in_blocks(graph: Graph, value: Value, blocks: tuple[int, ...]) -> str | None:
    """An operand whose last axis is flattened with the channels first; None if it is not."""
    if value.array is not None:
        return graph.constant(channels_before(value.array, blocks))
    tensor = graph.tensor(value)
    return tensor.name if tensor.blocks == blocks or not value.shape else None


def channels_before(array: Any, blocks: tuple[int, ...], axis: int = -1) -> Any:
    """An array with one axis, which is flattened with its channels last, flattened with its channels first.

    >>> channels_before(np.arange(4), (2, 2))
    array([0, 2, 1, 3])
    """
    if not array.ndim or array.shape[axis] == 1:
        return array
    order = np.moveaxis(np.arange(array.shape[axis]).reshape(blocks), -1, 0).reshape(-1)
    return np.take(array, order, axis)


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(("erfc", "exp2", "expm1", "integer_pow", "is_finite", "log1p", "rsqrt", "square"), _composed),
    "clamp": _clamp,
    "convert_element_type": _convert,
    "ne": _not_equal,
    "rem": _remainder,
    "round": _round,
    "select_n": _select,
    "shift_left": _shift_left,
}
