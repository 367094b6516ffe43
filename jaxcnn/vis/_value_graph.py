"""The operations of a function at one point, with the value and the gradient of each."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._errors import ShapeError
from jaxcnn._programs import Operation, Program, Value, trace

# These operations do not change the number and the order of entries, and are not drawn.
_HIDDEN = {"convert_element_type", "copy", "copy_p", "expand_dims", "name", "reshape", "squeeze"}
_SYMBOLS = {
    "add": "+",
    "add_any": "+",
    "conv_general_dilated": "conv",
    "div": "/",
    "dot_general": "matmul",
    "mul": "*",
    "neg": "* -1",
    "reduce_max": "max over",
    "reduce_sum": "sum",
    "sub": "-",
}


@dataclasses.dataclass(frozen=True, eq=False)
class GraphNode:
    """An input, or an operation.

    Attributes:
        name: of the input, or a symbol of the operation with its constants.
        value: of the input, or the first result of the operation.
        gradient: of the function's result with respect to the value.
        scope: names of the enclosing modules; empty outside of Flax modules and ``jax.named_scope``.
    """

    name: str
    value: np.ndarray
    gradient: np.ndarray
    scope: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class GraphEdge:
    """A value that an operation reads.

    Attributes:
        source: the number of the node that computes the value.
        target: the number of the node that reads it.
        local: the derivative of the operation with respect to the value where both are single numbers, else None.
        upstream: the gradient of the function's result with respect to the operation's.
        product: what the edge contributes to the gradient of the value: ``upstream`` times the local derivative.
    """

    source: int
    target: int
    local: float | None
    upstream: np.ndarray
    product: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ValueGraph:
    """The result of ``value_graph``.

    Attributes:
        nodes: the inputs, then the operations in the order in which they run.
        edges: from inputs and operations to operations.
    """

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


def value_graph(f: Callable[..., Any], *args: Any) -> ValueGraph:
    """The operations of a function at one point, with values, and gradients by the chain rule along each edge.

    Each operation multiplies the gradient of its result (upstream) by its own derivative (local); the products along
    several edges are summed. Operations that depend on no input and those that only change a shape are left out. Loops,
    and functions with their own derivative such as ``jax.nn.relu``, are single operations.

    Args:
        f: a function of arrays or pytrees of arrays whose result is a single number.
        *args: where to compute it; floating.

    Raises:
        ShapeError: a result that is not a single number.
        TypeError: no floating argument.

    Source: Stanford's CS231n, "Backpropagation, intuitions".

    >>> graph = value_graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
    >>> [(node.name, float(node.value), float(node.gradient)) for node in graph.nodes]
    [('x', -2.0, -4.0), ('y', 5.0, -4.0), ('z', -4.0, 3.0), ('+', 3.0, -4.0), ('*', -12.0, 1.0)]
    """
    arrays = jax.tree.map(jnp.asarray, args)
    program = trace(f, *arrays)
    if [tuple(value.aval.shape) for value in program.outputs] != [()]:
        shapes = [tuple(value.aval.shape) for value in program.outputs]
        raise ShapeError(f"expected a function with a single number as its result, got the shapes {shapes}. Sum it.")
    leaves = jax.tree.leaves(arrays)
    if not any(map(_is_floating, leaves)):
        raise TypeError("expected a floating argument, but there is none, so there is no gradient.")
    return _Builder(program, leaves, _names(f, arrays)).graph()


def _is_floating(value: Any) -> bool:
    return bool(jnp.issubdtype(value.dtype, jnp.floating))


def _names(f: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """The names of the arrays among the arguments, by the names of the function's parameters."""
    try:
        parameters = [each.name for each in inspect.signature(f).parameters.values() if each.kind <= 1]
    except (TypeError, ValueError):
        parameters = []
    parameters += [f"argument {place}" for place in range(len(parameters), len(args))]
    paths, _ = jax.tree.flatten_with_path(tuple(args))
    names = [jax.tree_util.keystr(path[1:], simple=True, separator="/") for path, _ in paths]
    return [
        "/".join(filter(None, [parameters[path[0].idx], name])) for (path, _), name in zip(paths, names, strict=True)
    ]


class _Builder:
    """The graph of one program."""

    def __init__(self, program: Program, inputs: Sequence[Any], names: Sequence[str]) -> None:
        self.program, self.names = program, names
        self.depending = program.depending_on(value for value in program.inputs if _is_floating(value.aval))
        needed = program.operations_for(program.outputs, program.inputs)
        self.operations = [each for each in needed if not self.depending.isdisjoint(each.outputs)]
        read = {value for each in self.operations for value in each.inputs}
        made = [value for each in self.operations for value in each.outputs]
        self.shown = list(dict.fromkeys([*program.inputs, *read, *made, *program.outputs]))
        values, gradients, messages = jax.tree.map(np.asarray, jax.jit(self.computed)(list(inputs)))
        self.value: dict[Value, np.ndarray] = dict(zip(self.shown, values, strict=True))
        self.gradient: dict[Value, np.ndarray] = dict(zip(self.shown, gradients, strict=True))
        self.messages: dict[tuple[int, int], tuple[np.ndarray | None, np.ndarray]] = messages

    def computed(self, inputs: Sequence[Any]) -> Any:
        """The values, the gradients, and the results of ``backward`` for each operation and place of an operand."""
        value = dict(zip(self.shown, self.program.run(inputs, wanted=self.shown), strict=True))
        last = self.program.outputs[0]
        gradients: dict[Value, Any] = {last: jnp.ones_like(value[last])}
        messages: dict[tuple[int, int], tuple[Any, Any]] = {}
        for number, operation in reversed(list(enumerate(self.operations))):
            for place, local, product in self.backward(operation, value, gradients):
                messages[number, place] = (local, product)
                source = operation.inputs[place]
                gradients[source] = gradients[source] + product if source in gradients else product
        values = [value[each] for each in self.shown]
        return values, [gradients.get(each, jnp.zeros_like(value[each])) for each in self.shown], messages

    def backward(self, operation: Operation, value: dict[Value, Any], gradients: dict[Value, Any]) -> list[Any]:
        """For each differentiable operand its place, its local derivative, and the product with the gradient."""
        operands = [jnp.asarray(value[each]) for each in operation.inputs]
        outputs = [place for place, each in enumerate(operation.outputs) if _is_floating(each.aval)]
        places = [
            place for place, each in enumerate(operation.inputs) if each in self.depending and _is_floating(each.aval)
        ]
        if not places or not outputs:
            return []

        def run(*floating: Any) -> list[Any]:
            whole = list(operands)
            for place, each in zip(places, floating, strict=True):
                whole[place] = each
            results = operation.run(whole)
            return [results[place] for place in outputs]

        results, pull = jax.vjp(run, *(operands[place] for place in places))
        upstream = [
            gradients.get(operation.outputs[place], jnp.zeros_like(result))
            for place, result in zip(outputs, results, strict=True)
        ]
        locals_: list[Any] = [None] * len(places)
        if len(outputs) == 1 and not results[0].shape:
            locals_ = [None if each.shape else each for each in pull([jnp.ones_like(results[0])])]
        return list(zip(places, locals_, pull(upstream), strict=True))

    def graph(self) -> ValueGraph:
        """Nodes and edges."""
        number: dict[Value, int] = {}
        nodes: list[GraphNode] = []
        edges: list[GraphEdge] = []

        def add(name: str, values: Sequence[Value], scope: tuple[str, ...]) -> None:
            number.update(dict.fromkeys(values, len(nodes)))
            nodes.append(GraphNode(name, self.value[values[0]], self.gradient[values[0]], scope))

        used = {value for each in self.operations for value in each.inputs} | set(self.program.outputs)
        for value, name in zip(self.program.inputs, self.names, strict=True):
            if value in self.depending and value in used:
                add(name, [value], ())
        for index, operation in enumerate(self.operations):
            reads = [place for place, value in enumerate(operation.inputs) if value in self.depending]
            if operation.name in _HIDDEN and len(reads) == 1:
                number[operation.outputs[0]] = number[operation.inputs[reads[0]]]
                continue
            add(self.label(operation), operation.outputs, operation.scope)
            for place in reads:
                if (index, place) in self.messages:
                    local, product = self.messages[index, place]
                    source = number[operation.inputs[place]]
                    upstream = self.gradient[operation.outputs[0]]
                    edges.append(
                        GraphEdge(source, len(nodes) - 1, None if local is None else float(local), upstream, product)
                    )
        return ValueGraph(tuple(nodes), tuple(edges))

    def label(self, operation: Operation) -> str:
        """The symbol of an operation, with the constants among its operands if they are single numbers."""
        name, params = operation.name, operation.params
        if name == "integer_pow":
            return f"power {params['y']}"
        if name in ("custom_jvp_call", "custom_vjp_call", "jit", "pjit"):
            inner = params.get("call_jaxpr", params.get("jaxpr"))
            info = getattr(getattr(inner, "jaxpr", inner), "debug_info", None)
            return str(params.get("name") or getattr(info, "func_name", None) or name)
        symbol = _SYMBOLS.get(name, name)
        constants = {
            place: self.value[value] for place, value in enumerate(operation.inputs) if value not in self.depending
        }
        if len(operation.inputs) == 2 and len(constants) == 1:
            ((place, constant),) = constants.items()
            if np.size(constant) == 1:
                number = f"{float(np.asarray(constant).ravel()[0]):g}"
                return f"{number} {symbol}" if place == 0 and name in ("div", "sub") else f"{symbol} {number}"
        return symbol
