"""Gathers at constant positions that are slices; indexing an array of a symbolic size produces such gathers."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._operations import Operation, Value


def slices(operations: Sequence[Operation]) -> list[Operation]:
    """The program in which each gather that is a slice is replaced by a slice and a removal of axes."""
    found: list[Operation] = []
    for operation in operations:
        cut = _as_slice(operation) if operation.name == "gather" else None
        found += [operation] if cut is None else cut
    return found


def _as_slice(operation: Operation) -> list[Operation] | None:
    x, places = operation.inputs
    if places.array is None:
        return None
    numbers, sizes = operation.params["dimension_numbers"], operation.params["slice_sizes"]
    if numbers.operand_batching_dims or numbers.start_indices_batching_dims:
        return None
    starts, limits, strides = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    # The axes of the result over the gathered positions, and for each axis of the result the axis of the operand.
    along = [axis for axis in range(len(operation.outputs[0].shape)) if axis not in numbers.offset_dims]
    order: dict[int, int] = dict(
        zip(
            numbers.offset_dims,
            [axis for axis in range(len(x.shape)) if axis not in numbers.collapsed_slice_dims],
            strict=True,
        )
    )
    for number, axis in enumerate(numbers.start_index_map):
        values = places.array[..., number]
        varies = [each for each in range(values.ndim) if not (values == values.take([0], each)).all()]
        if len(varies) > 1:
            return None
        line = np.atleast_1d(values[tuple(slice(None) if each in varies else 0 for each in range(values.ndim))])
        step = int(line[1] - line[0]) if len(line) > 1 else 1
        if step < 1 or (np.diff(line) != step).any() or line[0] < 0:
            return None
        if not is_symbolic(x.shape[axis]) and line[-1] + sizes[axis] > x.shape[axis]:
            return None  # the mode of the gather determines entries outside
        starts[axis], strides[axis] = int(line[0]), step
        if axis in numbers.collapsed_slice_dims:
            limits[axis] = int(line[-1]) + 1
            if varies:
                order[along[varies[0]]] = axis
        elif varies:
            return None
        else:
            limits[axis] = int(line[0]) + sizes[axis]
    rest = [order[axis] for axis in sorted(order)]
    if len(order) != len(operation.outputs[0].shape) or rest != sorted(rest):
        return None  # equal positions along an axis, or axes in another order
    return _sliced(operation, starts, limits, strides, [axis for axis in range(len(x.shape)) if axis not in rest])


def _sliced(operation: Operation, starts: Any, limits: Any, strides: Any, removed: Sequence[int]) -> list[Operation]:
    x, result = operation.inputs[0], operation.outputs[0]
    params = {"start_indices": tuple(starts), "limit_indices": tuple(limits), "strides": tuple(strides)}
    apply = functools.partial(_slice, **params)
    if not removed:
        return [Operation("slice", (x,), (result,), params, operation.layer, apply)]
    sizes = list(result.shape)
    for axis in removed:
        sizes.insert(axis, 1)
    whole = Value(tuple(sizes), x.dtype)
    squeeze = functools.partial(_squeeze, dimensions=tuple(removed))
    return [
        Operation("slice", (x,), (whole,), params, operation.layer, apply),
        Operation("squeeze", (whole,), (result,), {"dimensions": tuple(removed)}, operation.layer, squeeze),
    ]


def _slice(x: Any, **params: Any) -> list[Any]:
    return [lax.slice(x, **params)]


def _squeeze(x: Any, *, dimensions: tuple[int, ...]) -> list[Any]:
    return [lax.squeeze(x, dimensions)]
