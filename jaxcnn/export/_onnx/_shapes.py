"""Operations that move entries: reshapes, transposes, slices, padding, concatenation."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._onnx._graph import Graph, channels_first, long_axes, same_order, unsupported
from jaxcnn.export._onnx._orders import have_order, order_with, required_order
from jaxcnn.export._operations import Operation, Value


def _reshape(graph: Graph, operation: Operation) -> None:
    x, result = operation.inputs[0], operation.outputs[0]
    if operation.params.get("dimensions") is not None and operation.name == "reshape":
        raise unsupported(operation, "it transposes as well")
    before, after = long_axes(x.shape), long_axes(result.shape)
    if [x.shape[axis] for axis in before] == [result.shape[axis] for axis in after]:
        _units(graph, x, result, dict(zip(before, after, strict=True)))
        return
    axes = graph.axes(x)
    flattens = len(result.shape) == 2 and len(x.shape) > 2 and result.shape[1] == _product(x.shape[1:])
    if flattens and not x.is_constant and axes == channels_first(len(x.shape)) and x.shape[0] == result.shape[0]:
        natural = same_order(x.shape, axes, tuple(range(len(axes))))
        name = graph.reshaped(graph.tensor(x).name, result.shape)
        graph.set(result, name, blocks=() if natural else x.shape[1:])
        return
    graph.set(result, graph.reshaped(graph.natural(x), result.shape))


def _product(sizes: Sequence[Any]) -> Any:
    return None if any(map(is_symbolic, sizes)) else prod(sizes)


def _units(graph: Graph, x: Value, result: Value, moved: dict[int, int], *, reader_of: Value | None = None) -> None:
    """A reshape that inserts or removes axes of size 1, without a transposition where this is possible.

    Args:
        graph: to write to.
        x: the operand.
        result: its reshape.
        moved: for each other axis of the operand, the axis of the result.
        reader_of: the value whose readers determine the order of axes; by default the reshape.
    """
    tensor = graph.tensor(x)
    if tensor.blocks and result.shape == x.shape:
        graph.set(result, tensor.name, blocks=tensor.blocks)
        return
    tensor = graph.plain(x)
    ndim = len(result.shape)
    of_channels = len(x.shape) == 2 and ndim - 1 in moved.values()  # a number for each channel, such as a mean
    natural = tensor.axes == tuple(range(len(x.shape))) and not of_channels
    first = required_order(graph, reader_of if reader_of is not None else result)
    if first is None and natural:
        first = tuple(range(ndim))
    axes = order_with([moved[axis] for axis in tensor.axes if axis in moved], ndim, first=first)
    graph.set(result, graph.reshaped(tensor.name, [result.shape[axis] for axis in axes]), axes)


def _broadcast(graph: Graph, operation: Operation) -> None:
    x, result, places = operation.inputs[0], operation.outputs[0], operation.params["broadcast_dimensions"]
    sizes: list[Any] = [1] * len(result.shape)
    for axis, place in enumerate(places):
        sizes[place] = x.shape[axis]
    if x.is_constant or not x.shape:
        name, order = graph.natural(x), list(range(len(sizes)))
        shape = sizes
    else:
        middle = Value(tuple(sizes), x.dtype)
        before = long_axes(x.shape)
        _units(graph, x, middle, {axis: places[axis] for axis in before}, reader_of=result)
        tensor = graph.tensor(middle)
        graph.set(
            result,
            graph.expanded(tensor.name, [result.shape[a] for a in tensor.axes], [sizes[a] for a in tensor.axes]),
            tensor.axes,
        )
        return
    name = graph.reshaped(name, shape)
    graph.set(result, graph.expanded(name, result.shape, shape), order)


def _transpose(graph: Graph, operation: Operation) -> None:
    """Adds no node: only the numbers of the tensor's axes change."""
    x, permutation = operation.inputs[0], list(operation.params["permutation"])
    tensor = graph.tensor(x)
    name, axes = (graph.natural(x), tuple(range(len(x.shape)))) if tensor.blocks else (tensor.name, tensor.axes)
    graph.set(operation.outputs[0], name, [permutation.index(axis) for axis in axes])


def _concatenate(graph: Graph, operation: Operation) -> None:
    arrays, order = list(operation.inputs), required_order(graph, operation.outputs[0])
    leader = next((value for value in arrays if not value.is_constant), arrays[0])
    axes = order if order is not None and have_order(graph, arrays, order) else graph.axes(leader)
    names = [graph.ordered(value, axes) for value in arrays]
    result = graph.node("Concat", *names, axis=axes.index(operation.params["dimension"]))
    graph.set(operation.outputs[0], result, axes)


def _stack(graph: Graph, operation: Operation) -> None:
    """A concatenation along a new axis."""
    axis, result = operation.params["axis"], operation.outputs[0]
    leader = next((value for value in operation.inputs if not value.is_constant), operation.inputs[0])
    of_parts = graph.axes(leader)
    rest = [part + (part >= axis) for part in of_parts]  # the axes of the parts in the result
    axes = order_with(rest, len(result.shape), first=required_order(graph, result))
    sizes = [1 if place == axis else result.shape[place] for place in axes]
    names = [graph.reshaped(graph.ordered(value, of_parts), sizes) for value in operation.inputs]
    graph.set(result, graph.node("Concat", *names, axis=axes.index(axis)), axes)


def _slice(graph: Graph, operation: Operation) -> None:
    params = operation.params
    strides = params["strides"] or (1,) * len(params["start_indices"])
    _cut(graph, operation, params["start_indices"], params["limit_indices"], strides)


def _dynamic_slice(graph: Graph, operation: Operation) -> None:
    """A slice whose start may be computed; the start is clipped so that the slice is inside the array."""
    (x, *starts), result = operation.inputs, operation.outputs[0]
    axes = graph.axes(x)
    name, firsts, lasts, places = graph.ordered(x, axes), [], [], []
    for axis, (start, size) in enumerate(zip(starts, operation.params["slice_sizes"], strict=True)):
        if size == x.shape[axis]:
            continue
        if is_symbolic(size) or is_symbolic(x.shape[axis]):
            raise unsupported(operation, "it reads a part of a batch of any size")
        last = x.shape[axis] - size
        if start.array is not None:
            first = graph.integers([min(max(int(start.array), 0), last)])
        else:
            first = graph.reshaped(graph.node("Cast", graph.natural(start), to=graph.element_type(np.int64)), [1])
            first = graph.node("Max", graph.node("Min", first, graph.integers([last])), graph.integers([0]))
        firsts.append(first)
        lasts.append(graph.node("Add", first, graph.integers([size])))
        places.append(axes.index(axis))
    if places:
        bounds = (each[0] if len(each) == 1 else graph.node("Concat", *each, axis=0) for each in (firsts, lasts))
        name = graph.node("Slice", name, *bounds, graph.integers(places))
    graph.set(result, name, axes)


def _cut(graph: Graph, operation: Operation, starts: Any, limits: Any, strides: Any) -> None:
    x, result = operation.inputs[0], operation.outputs[0]
    axes = graph.axes(x)
    name = graph.ordered(x, axes)
    cut = [
        (int(start), int(limit), axes.index(axis), int(stride))
        for axis, (start, limit, stride) in enumerate(zip(starts, limits, strides, strict=True))
        if x.shape[axis] != result.shape[axis]
    ]
    if cut:
        first, last, places, steps = zip(*cut, strict=True)
        name = graph.node("Slice", name, *map(graph.integers, (first, last, places, steps)))
    graph.set(result, name, axes)


def _pad(graph: Graph, operation: Operation) -> None:
    (x, value), config = operation.inputs, operation.params["padding_config"]
    if any(inner for _, _, inner in config) or not value.is_constant:
        raise unsupported(operation, "it pads between entries, or with a number that is computed")
    axes = graph.axes(x)
    name = graph.ordered(x, axes)
    pads = [config[axis][:2] for axis in axes]
    before, after = ([pad[i] for pad in pads] for i in (0, 1))  # ONNX removes entries for negative numbers
    name = graph.node("Pad", name, graph.integers([*before, *after]), graph.natural(value))
    graph.set(operation.outputs[0], name, axes)


def _reverse(graph: Graph, operation: Operation) -> None:
    x = operation.inputs[0]
    axes = graph.axes(x)
    places = [axes.index(axis) for axis in operation.params["dimensions"]]
    count, least = len(places), np.iinfo(np.int64).min
    bounds = [[-1] * count, [least] * count, places, [-1] * count]
    graph.set(operation.outputs[0], graph.node("Slice", graph.ordered(x, axes), *map(graph.integers, bounds)), axes)


def _split(graph: Graph, operation: Operation) -> None:
    x = operation.inputs[0]
    axes, sizes = graph.axes(x), operation.params["sizes"]
    place = axes.index(operation.params["axis"])
    names = graph.nodes_results("Split", graph.ordered(x, axes), graph.integers(sizes), outputs=len(sizes), axis=place)
    for value, name in zip(operation.outputs, names, strict=True):
        graph.set(value, name, axes)


EMITTERS: dict[str, Callable[[Graph, Operation], None]] = {
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _reshape),
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dynamic_slice": _dynamic_slice,
    "pad": _pad,
    "rev": _reverse,
    "slice": _slice,
    "split": _split,
    "stack": _stack,
    "transpose": _transpose,
}
