"""Pools and local response normalisation."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from jaxcnn.export._onnx._graph import Graph, channels_first, unsupported
from jaxcnn.export._onnx._linear import band, flat_pads
from jaxcnn.export._operations import Operation, Value


def _max(graph: Graph, operation: Operation) -> None:
    _spatial(graph, operation, lambda x, **options: _pooled(graph, operation, x, **options), dilated=True)


def _min(graph: Graph, operation: Operation) -> None:
    _spatial(
        graph,
        operation,
        lambda x, **options: graph.node("Neg", _pooled(graph, operation, graph.node("Neg", x), **options)),
        dilated=True,
    )


def _pooled(graph: Graph, operation: Operation, x: str, **options: Any) -> str:
    """``MaxPool``; padding not smaller than the undilated window, which onnxruntime refuses, is a ``Pad`` node."""
    pads, window = options["pads"], options["kernel_shape"]
    if all(pad < size for pad, size in zip(pads, [*window, *window], strict=True)):
        return graph.node("MaxPool", x, **options)
    spatial = len(window)
    both = [0, 0, *pads[:spatial], 0, 0, *pads[spatial:]]
    least = graph.constant(np.asarray(-np.inf, operation.inputs[0].dtype))
    padded = graph.node("Pad", x, graph.integers(both), least)
    return graph.node("MaxPool", padded, **{**options, "pads": [0] * len(pads)})


def _sum(graph: Graph, operation: Operation) -> None:
    params, x = operation.params, operation.inputs[0]
    *others, size = params["window_dimensions"]
    if size > 1 and set(others) == {1} and len(others) >= 2 and set(params["window_strides"]) == {1}:
        _sum_of_channels(graph, operation)
        return
    taps = graph.constant(np.asarray(prod(params["window_dimensions"]), x.dtype))

    def scaled(x: str, **options: Any) -> str:
        return graph.node("Mul", graph.node("AveragePool", x, count_include_pad=1, **options), taps)

    _spatial(graph, operation, scaled)


def _sum_of_channels(graph: Graph, operation: Operation) -> None:
    x, axes = operation.inputs[0], channels_first(len(operation.inputs[0].shape))
    result = _neighbours(graph, graph.ordered(x, axes), x, operation.params["padding"][-1])
    graph.set(operation.outputs[0], result, axes)


def _neighbours(graph: Graph, name: str, x: Value, pads: tuple[int, int]) -> str:
    """The sums of neighbouring channels of a tensor in the layout of ONNX, with the channels of ``x``."""
    weight = band(x.shape[-1], *pads, x.dtype).T.reshape(x.shape[-1], x.shape[-1], *[1] * (len(x.shape) - 2))
    return graph.node("Conv", name, graph.constant(weight))


def _average(graph: Graph, operation: Operation) -> None:
    include = int(operation.params["count_include_pad"])
    _spatial(graph, operation, lambda x, **options: graph.node("AveragePool", x, count_include_pad=include, **options))


def _spatial(graph: Graph, operation: Operation, make: Callable[..., str], *, dilated: bool = False) -> None:
    """A pool over the axes between the first and the last."""
    params, x = operation.params, operation.inputs[0]
    window, strides, pads, dilation = (
        list(params[name]) for name in ("window_dimensions", "window_strides", "padding", "window_dilation")
    )
    if (
        len(window) < 3
        or {window[0], window[-1], strides[0], strides[-1]} != {1}
        or set(params["base_dilation"]) != {1}
    ):
        raise unsupported(operation, f"its window {tuple(window)} covers other axes than the spatial ones")
    if any(pads[0]) or any(pads[-1]):
        raise unsupported(operation, "it pads the batch or the channels")
    options = {"kernel_shape": window[1:-1], "strides": strides[1:-1], "pads": flat_pads(pads[1:-1])}
    if dilated:
        options["dilations"] = dilation[1:-1]
    elif set(dilation) != {1}:
        raise unsupported(operation, "ONNX has no dilated average pool in this version")
    axes = channels_first(len(x.shape))
    graph.set(operation.outputs[0], make(graph.ordered(x, axes), **options), axes)


def _local_response_norm(graph: Graph, operation: Operation) -> None:
    params, x = operation.params, operation.inputs[0]
    axes = channels_first(len(x.shape))
    if len(axes) < 3:
        raise unsupported(operation, "it has no spatial axes")
    if params["size"] % 2 == 0 or len(axes) != 4:  # onnxruntime has LRN of images and of odd sizes only
        _composed_norm(graph, operation)
        return
    result = graph.node(
        "LRN",
        graph.ordered(x, axes),
        size=params["size"],
        alpha=params["alpha"] * params["size"],  # ONNX divides by the size
        beta=params["beta"],
        bias=params["k"],
    )
    graph.set(operation.outputs[0], result, axes)


def _composed_norm(graph: Graph, operation: Operation) -> None:
    """``x * (k + alpha * sum of x**2 over channels)**-beta``, with the sum as a convolution of one pixel."""
    params, x = operation.params, operation.inputs[0]
    axes, size = channels_first(len(x.shape)), params["size"]
    name = graph.ordered(x, axes)
    total = _neighbours(graph, graph.node("Mul", name, name), x, ((size - 1) // 2, size // 2))
    alpha, k, power = (graph.constant(np.asarray(params[each], x.dtype)) for each in ("alpha", "k", "beta"))
    base = graph.node("Add", graph.node("Mul", total, alpha), k)
    graph.set(operation.outputs[0], graph.node("Div", name, graph.node("Pow", base, power)), axes)


EMITTERS: dict[str, Callable[[Graph, Operation], None]] = {
    "average_window": _average,
    "local_response_norm": _local_response_norm,
    "reduce_window_max": _max,
    "reduce_window_min": _min,
    "reduce_window_sum": _sum,
}
