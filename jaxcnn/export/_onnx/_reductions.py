"""Reductions of whole axes."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxcnn.export._onnx._graph import Graph, channels_first
from jaxcnn.export._operations import Operation

KINDS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_prod": "ReduceProd", "mean": "ReduceMean"}


def _reduce(graph: Graph, operation: Operation) -> None:
    name, places, axes = _operand(graph, operation, operation.params["axes"])
    ndim = len(operation.inputs[0].shape)
    if not places:  # ONNX would reduce all axes
        graph.set(operation.outputs[0], name, axes)
        return
    if operation.name == "mean" and sorted(operation.params["axes"]) == list(range(1, ndim - 1)) and ndim > 2:
        pooled = graph.node("GlobalAveragePool", graph.ordered(operation.inputs[0], channels_first(ndim)))
        graph.set(operation.outputs[0], graph.node("Flatten", pooled, axis=1))
        return
    if operation.name == "reduce_sum":
        result = graph.node("ReduceSum", name, graph.integers(places), keepdims=0)
    else:
        result = graph.node(KINDS[operation.name], name, axes=places, keepdims=0)
    graph.set(operation.outputs[0], result, axes)


def _arg(graph: Graph, operation: Operation) -> None:
    name, (place,), axes = _operand(graph, operation, operation.params["axes"])
    kind = "ArgMax" if operation.name == "argmax" else "ArgMin"
    index = graph.node(kind, name, axis=place, keepdims=0)
    dtype = operation.params["index_dtype"]
    graph.set(operation.outputs[0], graph.node("Cast", index, to=graph.element_type(dtype)), axes)


def _logical(graph: Graph, operation: Operation) -> None:
    """Whether any or all booleans are true; ONNX reduces them as numbers."""
    name, places, axes = _operand(graph, operation, operation.params["axes"])
    kind = "ReduceMax" if operation.name == "reduce_or" else "ReduceMin"
    number = graph.node("Cast", name, to=graph.element_type(np.uint8))
    found = graph.node(kind, number, axes=places, keepdims=0)
    graph.set(operation.outputs[0], graph.node("Cast", found, to=graph.element_type(np.bool_)), axes)


def _operand(graph: Graph, operation: Operation, reduced: Sequence[int]) -> tuple[str, list[int], tuple[int, ...]]:
    """The operand, the places of the reduced axes in it, and the order of the remaining axes."""
    name, axes = (tensor := graph.plain(operation.inputs[0])).name, tensor.axes
    rest = [axis for axis in axes if axis not in reduced]
    return name, sorted(axes.index(axis) for axis in reduced), tuple(sorted(rest).index(axis) for axis in rest)


EMITTERS: dict[str, Callable[[Graph, Operation], None]] = {
    **dict.fromkeys((*KINDS, "reduce_sum"), _reduce),
    "argmax": _arg,
    "argmin": _arg,
    "reduce_and": _logical,
    "reduce_or": _logical,
}
