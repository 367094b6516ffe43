"""The order of axes in which to write a result, for operations that can write it in several orders."""

from jaxcnn.export._onnx._graph import Graph, channels_first, long_axes, same_order
from jaxcnn.export._operations import Operation, Value

POOLS = ("average_window", "local_response_norm", "reduce_window_max", "reduce_window_min", "reduce_window_sum")
# Operations whose results have other axes than their operands.
REGROUPING = ("dot_general", "gather", "reshape", "scatter", "scatter-add", "while")

Order = tuple[int, ...]


def required_order(graph: Graph, value: Value) -> Order | None:
    """The order of axes that the operations reading a value require, or None if they take any.

    Results of the program have the order of JAX, convolutions and pools read channels first, and an operation on each
    entry reads all its operands in the order of an operand that is already written.
    """
    return _required_order(graph, value, set())


def _required_order(graph: Graph, value: Value, seen: set[int]) -> Order | None:
    if id(value) in seen:
        return None
    seen.add(id(value))
    if id(value) in graph.uses.results:
        return tuple(range(len(value.shape)))
    found = (_order_required_by(graph, reader, value, seen) for reader in graph.uses.readers.get(id(value), []))
    return next((order for order in found if order is not None), None)


def _order_required_by(graph: Graph, reader: Operation, value: Value, seen: set[int]) -> Order | None:
    ndim, long, result = len(value.shape), len(long_axes(value.shape)), reader.outputs[0]
    if reader.name == "transpose":
        inner = _required_order(graph, result, seen) or tuple(range(ndim))
        return tuple(reader.params["permutation"][axis] for axis in inner)
    if reader.name == "conv_general_dilated":
        return tuple(reader.params["dimension_numbers"].lhs_spec) if value is reader.inputs[0] else None
    if reader.name in POOLS:
        return channels_first(ndim)
    if reader.name in REGROUPING or len(result.shape) != ndim:
        return None
    large = [each for each in reader.inputs if each is not value and len(long_axes(each.shape)) >= long]
    for tensor in map(graph.made, large):
        if tensor is not None and not tensor.blocks and len(tensor.axes) == ndim:
            return tensor.axes
    return _required_order(graph, result, seen)


def have_order(graph: Graph, operands: list[Value], order: Order | None) -> bool:
    """Whether all operands have an order of axes already, up to axes of size 1."""
    if order is None:
        return False
    tensors = [(value, graph.made(value)) for value in operands if not value.is_constant and value.shape]
    return all(
        tensor is not None and not tensor.blocks and same_order(value.shape, tensor.axes, order)
        for value, tensor in tensors
    )


def order_with(long: list[int], ndim: int, *, first: Order | None = None) -> Order:
    """An order of axes in which the axes ``long`` come in their order: ``first`` if it is such an order, else channels
    first.

    >>> order_with([0, 3, 1], 4), order_with([0, 1, 3], 4), order_with([1, 0], 3)
    ((0, 3, 1, 2), (0, 1, 2, 3), (2, 1, 0))
    """
    natural = tuple(range(ndim))
    for axes in (first, channels_first(ndim), natural):
        if axes is not None and [axis for axis in axes if axis in long] == long:
            return axes
    return (*(axis for axis in natural if axis not in long), *long)  # the axes of size 1 come first
