"""Layers in PyTorch, if it is installed. PyTorch is imported when the first of these functions is called.

Eager mode, as PyTorch is mostly used on CPUs, with as many threads as the process has cores. Of the two layouts,
``contiguous`` and ``channels_last``, the one that is faster in a few runs is measured.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcnn.bench._layers import ConvLayer, Entry, NormLayer, PoolLayer
from jaxcnn.bench._program import Program

Run = Callable[[], Any]


def torch_is_installed() -> bool:
    """Whether PyTorch can be imported, to compare with.

    >>> torch_is_installed() in (True, False)
    True
    """
    return importlib.util.find_spec("torch") is not None


def load() -> Any:
    """The module ``torch``, set to all cores."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return torch


def make(entry: Entry, arguments: Sequence[np.ndarray]) -> Program | None:
    """The entry in PyTorch, or None where it has no such layer."""
    torch = load()
    layer = entry.layer
    ndim = len(arguments[0].shape) - 2
    runs = []
    for form in _memory_formats(torch, ndim):
        tensors = [_tensor(torch, argument, form) for argument in arguments]
        if isinstance(layer, ConvLayer):
            kernel = tensors[1] if entry.operation != "kernel_grad" else None
            if kernel is not None:
                kernel = _kernel(torch, arguments[1], layer, form)
            run = _conv(torch, layer, entry.operation, tensors, kernel)
        elif isinstance(layer, PoolLayer):
            run = _with_gradient(torch, _pool(torch, layer), entry.operation, tensors)
        else:
            assert isinstance(layer, NormLayer)
            run = _with_gradient(torch, _norm(torch, layer), entry.operation, tensors)
        if run is None:
            return None
        runs.append(run)
    best = min(runs, key=_few_runs)
    return Program(best)


def _few_runs(run: Run) -> float:
    run()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _memory_formats(torch: Any, ndim: int) -> list[Any]:
    last = {2: torch.channels_last, 3: torch.channels_last_3d}
    return [torch.contiguous_format, *([last[ndim]] if ndim in last else [])]


def _tensor(torch: Any, array: np.ndarray, form: Any) -> Any:
    """Channels last to channels second."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1))).contiguous(memory_format=form)


def _kernel(torch: Any, kernel: np.ndarray, layer: ConvLayer, form: Any) -> Any:
    """``(*window, in, out)`` to ``(out, in, *window)``, or for a transposed convolution to ``(in, out, *window)``."""
    kernel = np.moveaxis(kernel, (-1, -2), (1, 0) if layer.input_dilation > 1 else (0, 1))
    return torch.from_numpy(np.ascontiguousarray(kernel)).contiguous(memory_format=form)


def _conv(torch: Any, layer: ConvLayer, operation: str, tensors: Sequence[Any], kernel: Any) -> Run | None:
    """One of the three operations by the function that PyTorch's own autograd calls.

    PyTorch pads both sides equally. If a layer has unequal padding, both sides get the larger padding, provided that
    the result has the same size.
    """
    geometry, transposed = layer.geometry, layer.input_dilation > 1
    if transposed:
        pads = [r - 1 - before for r, (before, _) in zip(geometry.reaches, geometry.pads, strict=True)]
        strides = geometry.input_dilation
    else:
        pads, strides = [max(both) for both in geometry.pads], geometry.strides
    if transposed and (layer.groups > 1 or layer.strides > 1):
        return None
    shared = (list(strides), pads, list(geometry.kernel_dilation), transposed, [0] * geometry.ndim, layer.groups)

    def empty(shape: Sequence[int]) -> Any:
        return torch.empty((shape[0], shape[-1], *shape[1:-1])).contiguous(memory_format=_form_of(torch, tensors[0]))

    if operation == "forward":
        run = lambda: torch.ops.aten.convolution(tensors[0], kernel, None, *shared)  # noqa: E731
        return _without_autograd(torch, run) if _shape(run()) == geometry.out_shape else None
    if operation == "input_grad":
        x, g = empty(geometry.x_shape), tensors[0]
    else:
        x, g = tensors
        kernel = _kernel(torch, np.zeros(geometry.kernel_shape, np.float32), layer, _form_of(torch, x))
    if _shape(torch.ops.aten.convolution(x, kernel, None, *shared)) != geometry.out_shape:
        return None
    mask = [operation == "input_grad", operation == "kernel_grad", False]
    return _without_autograd(torch, lambda: torch.ops.aten.convolution_backward(g, x, kernel, None, *shared, mask))


def _form_of(torch: Any, tensor: Any) -> Any:
    for form in _memory_formats(torch, tensor.ndim - 2):
        if tensor.is_contiguous(memory_format=form):
            return form
    return torch.contiguous_format


def _shape(tensor: Any) -> tuple[int, ...]:
    n, channels, *spatial = tensor.shape
    return (n, *spatial, channels)


def _without_autograd(torch: Any, run: Run) -> Run:
    def quiet() -> None:
        with torch.no_grad():
            run()

    return quiet


def _pool(torch: Any, layer: PoolLayer) -> Callable[[Any], Any]:
    pool = torch.nn.functional.max_pool2d if layer.maximum else torch.nn.functional.avg_pool2d
    first = torch.nn.Sequential(_norm(torch, layer), torch.nn.ReLU()) if layer.after_norm else torch.nn.Identity()
    return lambda x: pool(first(x), layer.window, layer.strides, layer.padding)


def _norm(torch: Any, layer: NormLayer | PoolLayer) -> Callable[[Any], Any]:
    return torch.nn.BatchNorm2d(layer.x_shape[-1]).train()


def _with_gradient(torch: Any, function: Callable[[Any], Any], operation: str, tensors: Sequence[Any]) -> Run:
    if operation == "forward":
        return _without_autograd(torch, lambda: function(tensors[0]))
    x = tensors[0].requires_grad_()
    return lambda: torch.autograd.grad(function(x), x, tensors[1])
