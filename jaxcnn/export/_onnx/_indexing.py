"""Operations that read or write entries at computed places: gathers, scatters, sorting, running sums."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.lax import GatherScatterMode

from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._onnx._elementwise import selected
from jaxcnn.export._onnx._graph import Graph, unsupported
from jaxcnn.export._operations import Operation, Value


def _gather(graph: Graph, operation: Operation) -> None:
    """``Gather`` along one axis, which may be any axis of the tensor, else ``GatherND``."""
    (x, places), params, result = operation.inputs, operation.params, operation.outputs[0]
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    indexed, batch = list(numbers.start_index_map), list(numbers.operand_batching_dims)
    window = [axis for axis in range(len(x.shape)) if axis not in (*numbers.collapsed_slice_dims, *batch)]
    if set(numbers.collapsed_slice_dims) != set(indexed) or any(sizes[axis] != x.shape[axis] for axis in window):
        raise unsupported(operation, "it reads a part of an axis, other than one entry")
    outer = [axis for axis in range(len(result.shape)) if axis not in numbers.offset_dims]
    place_of = dict(zip(window, numbers.offset_dims, strict=True))
    limits = [x.shape[axis] - 1 for axis in indexed]
    if not batch and len(indexed) == 1:
        tensor = graph.plain(x)
        index, valid = _within(graph, operation, _last_removed(graph, places), places, limits)
        name = graph.node("Gather", tensor.name, index, axis=tensor.axes.index(indexed[0]))
        order = [to for axis in tensor.axes for to in (outer if axis == indexed[0] else [place_of[axis]])]
    else:
        along = list(numbers.start_indices_batching_dims)
        rest = [axis for axis in range(len(outer)) if axis not in along]
        index = graph.ordered(places, (*along, *rest, len(outer)))
        index, valid = _within(graph, operation, index, places, limits)
        name = graph.node("GatherND", graph.ordered(x, (*batch, *indexed, *window)), index, batch_dims=len(batch))
        order = [outer[axis] for axis in (*along, *rest)] + list(numbers.offset_dims)
    if valid is not None:
        shape = [1 if axis in numbers.offset_dims else result.shape[axis] for axis in order]
        fill = graph.constant(np.asarray(params["fill_value"], result.dtype))
        name = selected(graph, graph.reshaped(valid, shape), fill, name, result.dtype)
    graph.set(result, name, order)


def _last_removed(graph: Graph, places: Value) -> str:
    """Places along one axis, without their last axis, which has one entry."""
    if places.array is not None:
        return graph.constant(places.array[..., 0])
    return graph.reshaped(graph.natural(places), places.shape[:-1])


def _within(
    graph: Graph, operation: Operation, index: str, places: Value, limits: Sequence[Any]
) -> tuple[str, str | None]:
    """Places as int64, clipped to an array, and whether each was inside it; None if no check is required.

    Args:
        graph: to write to.
        operation: its mode determines how places outside are treated.
        index: the places, with their coordinates last; without that axis for a single coordinate.
        places: their value.
        limits: the largest coordinate on each axis.
    """
    mode = GatherScatterMode.from_any(operation.params["mode"])
    index = graph.node("Cast", index, to=graph.element_type(np.int64))
    symbolic = any(map(is_symbolic, limits))
    known = None if symbolic else places.array
    inside = known is not None and bool(((known >= 0) & (known <= np.asarray(limits))).all())
    if inside or mode == GatherScatterMode.PROMISE_IN_BOUNDS:
        return index, None
    if symbolic:
        raise unsupported(operation, "its places are compared with the size of the batch; give the batch as a number")
    last = graph.constant(np.asarray(limits[0] if len(limits) == 1 else limits, np.int64))
    near = graph.node("Max", graph.node("Min", index, last), graph.constant(np.int64(0)))
    if mode == GatherScatterMode.CLIP:
        return near, None
    same = graph.node("Cast", graph.node("Equal", near, index), to=graph.element_type(np.uint8))
    if len(limits) > 1:
        same = graph.node("ReduceMin", same, axes=[-1], keepdims=0)
    return near, graph.node("Cast", same, to=graph.element_type(np.bool_))


def _scatter(graph: Graph, operation: Operation) -> None:
    """``ScatterND``; entries outside of the array are written to a row after its end, which is removed."""
    (x, places, updates), params = operation.inputs, operation.params
    numbers = params["dimension_numbers"]
    indexed, batch = list(numbers.scatter_dims_to_operand_dims), list(numbers.operand_batching_dims)
    window = [axis for axis in range(len(x.shape)) if axis not in (*numbers.inserted_window_dims, *batch)]
    whole = [updates.shape[axis] for axis in numbers.update_window_dims] == [x.shape[axis] for axis in window]
    if set(numbers.inserted_window_dims) != set(indexed) or not whole:
        raise unsupported(operation, "it writes a part of an axis, other than one entry")
    if any(is_symbolic(size) for value in operation.inputs for size in value.shape):
        raise unsupported(operation, "its sizes depend on the batch; give the batch as a number")
    outer = [axis for axis in range(len(updates.shape)) if axis not in numbers.update_window_dims]
    along = list(numbers.scatter_indices_batching_dims)
    rest = [axis for axis in range(len(outer)) if axis not in along]
    shape = [places.shape[axis] for axis in (*along, *rest)]
    index = graph.ordered(places, (*along, *rest, len(outer)))
    index, valid = _within(graph, operation, index, places, [x.shape[axis] - 1 for axis in indexed])
    if valid is not None:
        valid = graph.reshaped(valid, [*shape, 1])
    if batch:
        numbered = np.indices(shape)[: len(batch)].astype(np.int64)
        index = graph.node("Concat", graph.constant(np.moveaxis(numbered, 0, -1)), index, axis=-1)
    order = (*batch, *indexed, *window)
    name, size = graph.ordered(x, order), x.shape[order[0]]
    if valid is not None:
        end = graph.integers([size, *[0] * (len(batch) + len(indexed) - 1)])
        index = graph.node("Where", valid, index, end)
        name = graph.node("Pad", name, graph.integers([*[0] * len(order), 1, *[0] * (len(order) - 1)]))
    new = graph.ordered(updates, (*[outer[axis] for axis in (*along, *rest)], *numbers.update_window_dims))
    options: dict[str, Any] = {"reduction": "add"} if operation.name == "scatter-add" else {}
    name = graph.node("ScatterND", name, index, new, **options)
    if valid is not None:
        name = graph.node("Slice", name, *map(graph.integers, ([0], [size], [0])))
    graph.set(operation.outputs[0], name, order)


def _top_k(graph: Graph, operation: Operation) -> None:
    values, places = operation.outputs
    tensor = graph.plain(operation.inputs[0])
    axis = tensor.axes.index(operation.params["axis"] % len(tensor.axes))
    count = graph.integers([operation.params["k"]])
    best, index = graph.nodes_results("TopK", tensor.name, count, outputs=2, axis=axis)
    graph.set(values, best, tensor.axes)
    graph.set(places, graph.node("Cast", index, to=graph.element_type(places.dtype)), tensor.axes)


def _sort(graph: Graph, operation: Operation) -> None:
    """``TopK`` of all entries, smallest first, which keeps the order of equal ones."""
    key, axis = operation.inputs[0], operation.params["dimension"]
    if operation.params["num_keys"] != 1 or is_symbolic(key.shape[axis]):
        raise unsupported(operation, "it has several keys, or sorts a batch of any size")
    tensor = graph.plain(key)
    place, name = tensor.axes.index(axis), tensor.name
    if key.dtype == np.bool_:
        name = graph.node("Cast", name, to=graph.element_type(np.int32))
    count = graph.integers([key.shape[axis]])
    found, index = graph.nodes_results("TopK", name, count, outputs=2, axis=place, largest=0)
    if key.dtype == np.bool_:
        found = graph.node("Cast", found, to=graph.element_type(np.bool_))
    graph.set(operation.outputs[0], found, tensor.axes)
    for value, result in zip(operation.inputs[1:], operation.outputs[1:], strict=True):
        other = graph.ordered(value, tensor.axes)
        graph.set(result, graph.node("GatherElements", other, index, axis=place), tensor.axes)


def _cumsum(graph: Graph, operation: Operation) -> None:
    tensor = graph.plain(operation.inputs[0])
    axis = graph.constant(np.int64(tensor.axes.index(operation.params["axis"])))
    name = graph.node("CumSum", tensor.name, axis, reverse=int(operation.params["reverse"]))
    graph.set(operation.outputs[0], name, tensor.axes)


EMITTERS: dict[str, Callable[[Graph, Operation], None]] = {
    "cumsum": _cumsum,
    "gather": _gather,
    "scatter": _scatter,
    "scatter-add": _scatter,
    "sort": _sort,
    "top_k": _top_k,
}
