"""Loops whose number of iterations depends on values: ``Loop``, whose body is a graph."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxcnn.export._onnx._graph import Graph, described
from jaxcnn.export._operations import Operation, Uses, Value
from jaxcnn.export._trace import inlined


def emit_while(graph: Graph, operation: Operation, emit: Callable[[Sequence[Operation]], None]) -> None:
    """A loop.

    Args:
        graph: to write to.
        operation: ``while``.
        emit: writes operations to the graph.
    """
    params, helper = operation.params, graph.onnx.helper
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    of_condition, of_body, start = operation.inputs[:first], operation.inputs[first:second], operation.inputs[second:]

    def condition(state: Sequence[Value]) -> str:
        operations, (proceed,) = inlined(params["cond_jaxpr"], [*of_condition, *state], operation.layer)
        emit(operations)
        return graph.natural(proceed)

    initial = [condition(start), *map(graph.natural, start)]
    state = [Value(value.shape, value.dtype) for value in start]
    with graph.nested() as nodes:
        iteration, before = graph.unique("turn"), graph.unique("before")
        names = [graph.unique("state") for _ in state]
        for value, name in zip(state, names, strict=True):
            graph.set(value, name)
        operations, after = inlined(params["body_jaxpr"], [*of_body, *state], operation.layer)
        graph.uses = Uses(operations, after)
        emit(operations)
        # each result of a graph requires a unique name
        results = [graph.node("Identity", name) for name in (condition(after), *map(graph.natural, after))]
    number, flag = Value((), np.dtype(np.int64)), Value((), np.dtype(np.bool_))
    values = [flag, *state]
    body = helper.make_graph(
        nodes,
        graph.unique("body"),
        [described(graph, *each) for each in zip([iteration, before, *names], [number, *values], strict=True)],
        [described(graph, *each) for each in zip(results, values, strict=True)],
    )
    graph.layer = operation.layer
    found = graph.nodes_results("Loop", "", *initial, outputs=len(state), body=body)
    for value, name in zip(operation.outputs, found, strict=True):
        graph.set(value, name)
