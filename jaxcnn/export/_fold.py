"""Multiplications and additions per channel as part of the convolution or the matrix product before them.

Batch normalisation with fixed statistics is a sequence of such operations, and a bias is one of them. ``w * m`` and
``b * m + a`` are the kernel and the bias of one layer that equals ``m * layer(x) + a`` (Jacob et al. 2018,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference", equation 14).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.export._operations import Operation, Uses, Value, constant

AFFINE = ("add", "sub", "mul", "div", "neg")


def fold_affine(operations: Sequence[Operation], results: Sequence[Value]) -> list[Operation]:
    """The program with the factors and the offsets of channels folded into the linear layers before them.

    A factor and an offset also move to the layers whose results a concatenation joins, and, if the factor is not
    negative, to the layer before a maximum over windows. A layer whose result has several readers is not changed.
    """
    uses, folded = Uses(operations, results), list[Operation]()
    producers: dict[int, int] = {}  # for each value, the index of the operation that computes it
    for operation in operations:
        found = _affine(operation)
        if found is not None:
            x, scale, offset = found
            count = operation.outputs[0].shape[-1]
            factors, offsets = (np.broadcast_to(np.asarray(each), (count,)) for each in (scale, offset))
            layers = _layers(folded, producers, uses, x, factors) if uses.only_reader(x) is operation else None
            if layers is not None:
                for index, channels in layers:
                    layer = folded[index]
                    folded[index] = _scaled(layer, factors[channels], offsets[channels], layer.outputs)
                index = producers[id(x)]
                folded[index] = dataclasses.replace(folded[index], outputs=operation.outputs)
                producers[id(operation.outputs[0])] = index
                continue
        producers.update((id(value), len(folded)) for value in operation.outputs)
        folded.append(operation)
    return folded


def _layers(
    folded: Sequence[Operation],
    producers: Mapping[int, int],
    uses: Uses,
    value: Value,
    factors: np.ndarray,
    first: int = 0,
) -> list[tuple[int, slice]] | None:
    """The linear layers that can contain a factor for each channel of a value, and their channels; None if some cannot.

    Args:
        folded: the operations so far.
        producers: for each value, the index of the operation that computes it.
        uses: of the original program.
        value: the value that is multiplied, with a single reader.
        factors: of all channels of the value.
        first: the position of its first channel in ``factors``.
    """
    index = producers.get(id(value))
    if index is None:
        return None
    operation = folded[index]
    count = value.shape[-1]
    if out_axis(operation) is not None:
        return [(index, slice(first, first + count))]
    if operation.name == "reduce_window_max":
        spatial = operation.params["window_dimensions"][-1] == 1 and not any(operation.params["padding"][-1])
        if not spatial or (factors[first : first + count] < 0).any():
            return None
    elif operation.name != "concatenate" or operation.params["dimension"] != len(value.shape) - 1:
        return None
    found = []
    for part in operation.inputs:
        layers = None if uses.only_reader(part) is None else _layers(folded, producers, uses, part, factors, first)
        if layers is None:
            return None
        found += layers
        first += part.shape[-1]
    return found


def out_axis(operation: Operation) -> int | None:
    """The axis of the output channels of a linear layer's constant kernel, or None if this is no such layer.

    The layer is a convolution or a matrix product whose result has its output channels last.
    """
    if operation.name not in ("conv_general_dilated", "dot_general"):
        return None
    kernel, result = operation.inputs[1], operation.outputs[0]
    if not kernel.is_constant or operation.inputs[0].is_constant or not jnp.issubdtype(result.dtype, jnp.floating):
        return None
    numbers = operation.params["dimension_numbers"]
    if operation.name == "conv_general_dilated":
        last = numbers.out_spec[1] == len(result.shape) - 1
        return numbers.rhs_spec[0] if last and operation.params["batch_group_count"] == 1 else None
    (_, contracted), (_, batch) = numbers
    free = [axis for axis in range(len(kernel.shape)) if axis not in contracted]
    return free[0] if len(free) == 1 and not batch else None


def _affine(operation: Operation) -> tuple[Value, Any, Any] | None:
    """``(x, scale, offset)`` of an operation that computes ``scale * x + offset`` with vectors of the channels."""
    name, inputs, shape = operation.name, operation.inputs, operation.outputs[0].shape
    if name not in AFFINE or not shape or not isinstance(shape[-1], int):  # a scalar, or an axis of any size
        return None
    if name == "neg":
        return inputs[0], -1.0, 0.0
    first, second = inputs
    if first.is_constant == second.is_constant:
        return None
    x, known = (second, first) if first.is_constant else (first, second)
    vector = channel_vector(known, operation.outputs[0])
    if vector is None or tuple(x.shape) != tuple(operation.outputs[0].shape):
        return None
    if name == "add":
        return x, 1.0, vector
    if name == "sub":
        return (x, -1.0, vector) if known is first else (x, 1.0, -vector)
    if name == "mul":
        return x, vector, 0.0
    return None if known is first else (x, 1 / vector, 0.0)


def channel_vector(known: Value, result: Value) -> np.ndarray | None:
    """A constant operand as one number for all channels ``()`` or one for each ``(channels,)``; else None."""
    assert known.array is not None
    array = np.asarray(known.array, np.float64)
    if array.size == 1:
        return array.reshape(())
    return array.reshape(-1) if array.shape[-1] == array.size == result.shape[-1] else None


def _scaled(layer: Operation, scale: Any, offset: Any, outputs: tuple[Value, ...]) -> Operation:
    """The layer with kernel and bias of ``scale * layer(x) + offset``."""
    x, kernel, *bias = layer.inputs
    axis = out_axis(layer)
    assert axis is not None and kernel.array is not None
    channels = kernel.shape[axis]
    shape = [channels if i == axis else 1 for i in range(len(kernel.shape))]
    factor = np.broadcast_to(scale, (channels,))
    weights = constant((np.asarray(kernel.array, np.float64) * factor.reshape(shape)).astype(kernel.dtype))
    before = np.asarray(bias[0].array, np.float64) if bias else np.zeros(channels)
    after = before * factor + offset
    apply = layer.apply if bias else functools.partial(_with_bias, layer.apply)
    if not bias and not after.any():  # a scale alone needs no bias
        return Operation(layer.name, (x, weights), outputs, layer.params, layer.layer, layer.apply)
    inputs = (x, weights, constant(after.astype(kernel.dtype)))
    return Operation(layer.name, inputs, outputs, layer.params, layer.layer, apply)


def _with_bias(linear: Any, x: jax.Array, kernel: jax.Array, bias: jax.Array) -> list[jax.Array]:
    (y,) = linear(x, kernel)
    return [y + jnp.asarray(bias, y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))]
