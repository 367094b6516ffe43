"""Groups of operations that are one operation in other runtimes: clamps, means, average pools, local response norm.

Each group is replaced by one operation, which computes the same result:

- ``clamp``: ``min(max(x, low), high)`` with numbers;
- ``mean``: a sum over axes, divided by the number of its terms;
- ``average_window``: a windowed sum divided by the number of entries of each window;
- ``local_response_norm``: ``x * (k + alpha * windowed sum of x**2 over channels)**-beta``.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._gathers import slices
from jaxcnn.export._operations import Operation, Uses, Value, constant, replaced, without_unread
from jaxcnn.functional import local_response_norm

RESHAPES = ("reshape", "squeeze", "expand_dims", "broadcast_in_dim")


def recognise(operations: Sequence[Operation], results: Sequence[Value]) -> tuple[list[Operation], list[Value]]:
    """The program with the groups replaced, slices in place of gathers, and no reshape that another one undoes."""
    operations = slices(operations)
    for rule in (_clamp, _mean, _average_window, _local_response_norm):
        uses, changes, others = Uses(operations, results), dict[int, Value](), dict[int, Operation]()
        for operation in operations:
            found = rule(operation, uses)
            if found is not None:
                old, new, dropped = found
                others[id(old)] = new
                changes.update(dropped)
        operations = [others.get(id(each), each) for each in operations]
        operations, results = replaced(operations, results, changes)
        operations = without_unread(operations, results)
    return _merge_reshapes(operations, results)


def _merge_reshapes(operations: Sequence[Operation], results: Sequence[Value]) -> tuple[list[Operation], list[Value]]:
    """The program in which axes of size 1 are inserted or removed once, where that happens several times in a row."""
    uses, changes, merged = Uses(operations, results), dict[int, Value](), list[Operation]()
    for operation in operations:
        if operation.name not in RESHAPES or operation.inputs[0].is_constant or not keeps_order(operation):
            merged.append(operation)
            continue
        origin, result = operation.inputs[0], operation.outputs[0]
        while (source := uses.source(origin)) is not None and source.name in RESHAPES and keeps_order(source):
            origin = source.inputs[0]
        if tuple(origin.shape) == tuple(result.shape):
            changes[id(result)] = origin
        elif origin is operation.inputs[0]:
            merged.append(operation)
        else:
            apply = _single(functools.partial(lax.reshape, new_sizes=result.shape))
            merged.append(Operation("reshape", (origin,), (result,), {}, operation.layer, apply))
    operations, results = replaced(merged, results, changes)
    return without_unread(operations, results), results


# The operation that is replaced, its replacement, and the values that are dropped.
Found = tuple[Operation, Operation, Mapping[int, Value]] | None


def _clamp(operation: Operation, uses: Uses) -> Found:
    if operation.name != "min":
        return None
    high, x = _number_and_rest(operation)
    inner = None if x is None else uses.source(x)
    if inner is None or inner.name != "max" or uses.only_reader(inner.outputs[0]) is not operation:
        return None
    low, x = _number_and_rest(inner)
    if x is None or low is None or high is None:
        return None
    dtype = x.dtype
    bounds = constant(np.asarray(low, dtype)), constant(np.asarray(high, dtype))
    apply = _single(lambda low, x, high: lax.clamp(jnp.asarray(low), x, jnp.asarray(high)))
    inputs = (bounds[0], x, bounds[1])
    return operation, Operation("clamp", inputs, operation.outputs, {}, operation.layer, apply), {}


def _number_and_rest(operation: Operation) -> tuple[float | None, Value | None]:
    """The number and the other operand of an operation of two operands."""
    first, second = operation.inputs
    for known, x in ((first, second), (second, first)):
        if known.array is not None and known.array.size == 1 and not x.is_constant:
            return float(known.array.reshape(())), x
    return None, None


def _mean(operation: Operation, uses: Uses) -> Found:
    if operation.name != "div" or operation.inputs[0].is_constant:
        return None
    divisor, x = _number_and_rest(operation)
    if divisor is None or x is None or tuple(x.shape) != tuple(operation.outputs[0].shape):
        return None
    value, reader = x, operation
    while (source := uses.source(value)) is not None and uses.only_reader(value) is reader:
        if source.name == "reduce_sum":
            axes, term = tuple(source.params["axes"]), source.inputs[0]
            sizes = [term.shape[axis] for axis in axes]
            if any(map(is_symbolic, sizes)) or prod(sizes) != divisor:
                return None
            apply = _single(functools.partial(jnp.mean, axis=axes))
            mean = Operation("mean", source.inputs, source.outputs, {"axes": axes}, operation.layer, apply)
            return source, mean, {id(operation.outputs[0]): x}
        if source.name not in RESHAPES or not keeps_order(source):
            return None
        value, reader = source.inputs[0], source
    return None


def keeps_order(operation: Operation) -> bool:
    """Whether a reshape or broadcast only inserts or removes axes of size 1."""
    before, after = operation.inputs[0].shape, operation.outputs[0].shape
    return [size for size in before if size != 1] == [size for size in after if size != 1]


def _average_window(operation: Operation, uses: Uses) -> Found:
    if operation.name != "div" or operation.inputs[1].array is None:
        return None
    total, divisor = operation.inputs
    source = uses.source(total)
    if source is None or source.name != "reduce_window_sum" or uses.only_reader(total) is not operation:
        return None
    entries = _entries(source, include_pad=True), _entries(source, include_pad=False)
    for include_pad, count in zip((True, False), entries, strict=True):
        if count is not None and _equal_when_broadcast(divisor.array, count):
            params = {**source.params, "count_include_pad": include_pad}
            apply = functools.partial(_divided, source.apply)
            inputs = (source.inputs[0], divisor)
            return operation, Operation("average_window", inputs, operation.outputs, params, operation.layer, apply), {}
    return None


def _divided(window_sum: Callable[..., Any], x: jax.Array, divisor: jax.Array) -> list[jax.Array]:
    (total,) = window_sum(x)
    return [total / divisor]


def _entries(source: Operation, *, include_pad: bool) -> np.ndarray | None:
    """The number of entries of each window, in a shape that broadcasts; None if it depends on a symbolic size."""
    params, shape = source.params, source.inputs[0].shape
    total = np.ones((1,) * len(shape))
    for axis, (size, window, stride, dilation, (before, after)) in enumerate(
        zip(
            shape,
            params["window_dimensions"],
            params["window_strides"],
            params["window_dilation"],
            params["padding"],
            strict=True,
        )
    ):
        if window == 1:
            continue
        if is_symbolic(size):
            return None
        inside = np.zeros(before + size + after)
        inside[:] = include_pad
        inside[before : before + size] = 1
        starts = np.arange(0, len(inside) - (window - 1) * dilation, stride)
        count = sum(inside[starts + tap * dilation] for tap in range(window))
        total = total * np.reshape(count, [-1 if i == axis else 1 for i in range(len(shape))])
    return total


def _equal_when_broadcast(array: Any, count: np.ndarray) -> bool:
    if array.ndim not in (0, count.ndim):
        return False
    array, count = np.broadcast_arrays(array, count)
    return np.array_equal(array, count)


def _local_response_norm(operation: Operation, uses: Uses) -> Found:
    if operation.name != "mul":
        return None
    for x, rest in (operation.inputs, operation.inputs[::-1]):
        constants, value = [], rest
        for name in ("pow", "add", "mul"):
            source = uses.source(value)
            if source is None or source.name != name or uses.only_reader(value) is None:
                break
            number, inner = _number_and_rest(source)
            if number is None or inner is None:
                break
            constants.append(number)
            value = inner
        window = uses.source(value)
        if len(constants) < 3 or window is None or window.name != "reduce_window_sum":
            continue
        square = uses.source(window.inputs[0])
        if square is None or square.inputs[0] is not x or not _is_square(square):
            continue
        size, beta = _channel_window(window), -constants[0]
        if size is None:
            continue
        params: dict[str, Any] = {"size": size, "k": constants[1], "alpha": constants[2], "beta": beta}
        apply = _single(functools.partial(local_response_norm, **params))
        new = Operation("local_response_norm", (x,), operation.outputs, params, operation.layer, apply)
        return operation, new, {}
    return None


def _is_square(operation: Operation) -> bool:
    if operation.name == "mul":
        return operation.inputs[0] is operation.inputs[1]
    return operation.name == "square" or (operation.name == "integer_pow" and operation.params["y"] == 2)


def _channel_window(operation: Operation) -> int | None:
    """The size of the window of a sum over channels, or None if its position is not that of local response norm."""
    params = operation.params
    *others, size = params["window_dimensions"]
    if any(window != 1 for window in others) or set(params["window_strides"]) != {1}:
        return None
    centred = tuple(params["padding"][-1]) == ((size - 1) // 2, size // 2)
    return size if centred else None


def _single(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda *arrays: [function(*arrays)]
