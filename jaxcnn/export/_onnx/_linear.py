"""Convolutions, transposed convolutions and matrix products."""

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcnn.export._onnx._elementwise import channels_before
from jaxcnn.export._onnx._graph import Graph, channels_first, unsupported
from jaxcnn.export._onnx._orders import required_order
from jaxcnn.export._operations import Operation


def _conv(graph: Graph, operation: Operation) -> None:
    params, (x, kernel, *bias) = operation.params, operation.inputs
    numbers = params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise unsupported(operation, "it has groups of the batch")
    if not np.issubdtype(operation.outputs[0].dtype, np.floating):
        raise unsupported(operation, f"its result is {operation.outputs[0].dtype}; ONNX has convolutions of floats")
    name = graph.stored(x, graph.ordered(x, tuple(numbers.lhs_spec)))
    extra = [graph.bias(each, x, kernel) for each in bias]
    dilation, pads = list(params["rhs_dilation"]), list(params["padding"])
    if max(params["lhs_dilation"], default=1) > 1:
        result = _transposed(graph, operation, name, extra)
    else:
        name, pads = cropped(graph, name, pads)
        order = tuple(numbers.rhs_spec)
        if kernel.array is None:
            weight = graph.ordered(kernel, order)
        else:
            weight = graph.kernel(kernel, np.asarray(kernel.array).transpose(order), 0)
        result = graph.node(
            "Conv",
            name,
            weight,
            *extra,
            kernel_shape=[kernel.shape[axis] for axis in numbers.rhs_spec[2:]],
            strides=list(params["window_strides"]),
            dilations=dilation,
            pads=flat_pads(pads),
            group=params["feature_group_count"],
        )
    graph.set(operation.outputs[0], result, tuple(numbers.out_spec))


def _transposed(graph: Graph, operation: Operation, x: str, bias: Sequence[str]) -> str:
    """A convolution of a dilated input as ONNX's transposed convolution, whose kernel is reversed."""
    params, kernel = operation.params, operation.inputs[1]
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    if max(params["window_strides"]) > 1 or kernel.array is None:
        raise unsupported(operation, "it has strides besides a dilated input, or a kernel that is computed")
    if groups > 1 and graph.is_quantized(kernel):
        raise unsupported(operation, "ONNX has no scale for each output channel of a transposed convolution of groups")
    weight = np.asarray(kernel.array).transpose(numbers.rhs_spec)  # (out, in / groups, *window)
    out, group_in, *window = weight.shape
    weight = np.flip(weight, tuple(range(2, weight.ndim))).reshape(groups, out // groups, group_in, *window)
    weight = weight.swapaxes(1, 2).reshape(groups * group_in, out // groups, *window)
    begins, ends, more = [], [], []
    for size, dilation, stride, (before, after) in zip(
        window, params["rhs_dilation"], params["lhs_dilation"], params["padding"], strict=True
    ):
        begin, end = dilation * (size - 1) - before, dilation * (size - 1) - after
        if begin < 0 or -end >= max(stride, dilation):
            raise unsupported(operation, f"ONNX has no transposed convolution with the padding {(before, after)}")
        begins.append(begin)
        ends.append(max(end, 0))
        more.append(max(-end, 0))
    return graph.node(
        "ConvTranspose",
        x,
        graph.kernel(kernel, weight, 1),
        *bias,
        kernel_shape=window,
        strides=list(params["lhs_dilation"]),
        dilations=list(params["rhs_dilation"]),
        pads=[*begins, *ends],
        output_padding=more,
        group=groups,
    )


def cropped(graph: Graph, x: str, pads: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """A tensor with channels first without what negative pads remove, and the other pads."""
    for axis, (before, after) in enumerate(pads, 2):
        if before < 0 or after < 0:
            end = min(after, 0) or np.iinfo(np.int64).max
            bounds = [graph.integers([max(-before, 0)]), graph.integers([end]), graph.integers([axis])]
            x = graph.node("Slice", x, *bounds)
    return x, [(max(before, 0), max(after, 0)) for before, after in pads]


def flat_pads(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Pads as ONNX has them: those before, then those after.

    >>> flat_pads([(1, 2), (3, 4)])
    [1, 3, 2, 4]
    """
    return [before for before, _ in pads] + [after for _, after in pads]


def _dot(graph: Graph, operation: Operation) -> None:
    (x, other, *bias), (contracted, batch) = operation.inputs, operation.params["dimension_numbers"]
    last = len(x.shape) - 1
    dense = other.array is not None and len(other.shape) == 2 and contracted[0] == (last,) and not any(batch)
    if not dense or last < 1:
        _einsum(graph, operation)
        return
    kernel = np.asarray(other.array) if contracted[1] == (0,) else np.asarray(other.array).T
    extra = [graph.bias(each, x, other) for each in bias]
    tensor = None if x.is_constant else graph.tensor(x)
    if last == 1:
        blocks = tensor.blocks if tensor is not None else ()
        kernel = channels_before(kernel, blocks, 0) if blocks else kernel
        name = tensor.name if blocks and tensor is not None else graph.natural(x)
        result = graph.node("Gemm", graph.stored(x, name), graph.kernel(other, kernel, 1), *extra)
        graph.set(operation.outputs[0], result)
    elif tensor is not None and channels_first(last + 1) in (tensor.axes, required_order(graph, operation.outputs[0])):
        window, order = [1] * (last - 1), channels_first(last + 1)
        weight = graph.kernel(other, kernel.T.reshape(*kernel.T.shape, *window), 0)
        result = graph.node("Conv", graph.stored(x, graph.ordered(x, order)), weight, *extra, kernel_shape=window)
        graph.set(operation.outputs[0], result, order)
    else:
        result = graph.node("MatMul", graph.stored(x, graph.natural(x)), graph.kernel(other, kernel, 1))
        graph.set(operation.outputs[0], graph.node("Add", result, *extra) if extra else result)


def _einsum(graph: Graph, operation: Operation) -> None:
    """Any other product; the letters follow the order of axes that the operands have."""
    (x, other, *bias), (contracted, batch) = operation.inputs, operation.params["dimension_numbers"]
    letters = iter(string.ascii_lowercase)
    first, second = [""] * len(x.shape), [""] * len(other.shape)
    for axes in (batch, contracted):
        for one, two in zip(*axes, strict=True):
            first[one] = second[two] = next(letters)
    result = [first[axis] for axis in batch[0]]
    for word, axes in ((first, (*batch[0], *contracted[0])), (second, (*batch[1], *contracted[1]))):
        for axis in range(len(word)):
            if axis not in axes:
                word[axis] = next(letters)
                result.append(word[axis])
    terms, names = [], []
    for value, word in ((x, first), (other, second)):
        tensor = graph.tensor(value)
        name, order = (graph.natural(value), range(len(word))) if tensor.blocks else (tensor.name, tensor.axes)
        terms.append("".join(word[axis] for axis in order))
        names.append(name)
    axes = (None if bias else required_order(graph, operation.outputs[0])) or tuple(range(len(result)))
    y = graph.node("Einsum", *names, equation=f"{','.join(terms)}->{''.join(result[axis] for axis in axes)}")
    for each in bias:
        y = graph.node("Add", y, graph.constant(each.array, name="bias"))
    graph.set(operation.outputs[0], y, axes)


def band(channels: int, before: int, after: int, dtype: Any) -> np.ndarray:
    """The kernel ``(in, out)`` of a 1x1 convolution that sums neighbouring channels.

    >>> band(3, 1, 0, np.float32)
    array([[1., 1., 0.],
           [0., 1., 1.],
           [0., 0., 1.]], dtype=float32)
    """
    distance = np.arange(channels)[:, None] - np.arange(channels)[None]  # from the output channel to the one it reads
    return ((-before <= distance) & (distance <= after)).astype(dtype)


EMITTERS: dict[str, Callable[[Graph, Operation], None]] = {"conv_general_dilated": _conv, "dot_general": _dot}
