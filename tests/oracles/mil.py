"""The operations of a Core ML program in NumPy, by Apple's documentation, since only macOS runs such programs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.oracles.conv import conv


def evaluate(program: Any, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of the function ``main`` of a program that coremltools has loaded."""
    function = program.functions["main"]
    known: dict[str, Any] = dict(inputs)

    def read(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [read(each) for each in value]
        return value.val if getattr(value, "val", None) is not None else known[value.name]

    for operation in function.operations:
        if operation.op_type != "const":
            (output,) = operation.outputs
            arguments = {name: read(value) for name, value in operation.inputs.items()}
            known[output.name] = OPERATIONS[operation.op_type](**arguments)
            assert tuple(known[output.name].shape) == tuple(output.shape), operation.name
    return [known[output.name] for output in function.outputs]


def _pairs(pad: Any) -> list[tuple[int, int]]:
    return list(zip(pad[::2], pad[1::2], strict=True))


def _conv(x: Any, weight: Any, bias: Any, strides: Any, pad: Any, dilations: Any, groups: Any, **_: Any) -> Any:
    y = conv(
        np.moveaxis(x, 1, -1),
        weight.transpose(2, 3, 1, 0),
        pads=_pairs(pad),
        strides=tuple(strides),
        input_dilation=(1, 1),
        kernel_dilation=tuple(dilations),
        groups=int(groups),
    )
    return np.moveaxis(y + bias, -1, 1)


def _conv_transpose(x: Any, weight: Any, bias: Any, strides: Any, **options: Any) -> Any:
    """The case of windows that do not overlap: each input entry is a block of the result."""
    window = weight.shape[2:]
    assert tuple(strides) == window and not np.any(options["pad"]) and options["groups"] == 1
    blocks = np.einsum("nihw,ioab->nohawb", x, weight)
    n, out, height, a, width, b = blocks.shape
    return blocks.reshape(n, out, height * a, width * b) + bias[:, None, None]


def _max_pool(x: Any, kernel_sizes: Any, strides: Any, **options: Any) -> Any:
    assert options["pad_type"] == "valid"
    windows = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel_sizes), axis=(2, 3))
    return windows[:, :, :: strides[0], :: strides[1]].max((-1, -2))


def _slice(x: Any, begin: Any, end: Any, stride: Any, **_: Any) -> Any:
    return x[tuple(slice(a, b, c) for a, b, c in zip(begin, end, stride, strict=True))]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "concat": lambda values, axis, **_: np.concatenate(values, axis),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": lambda x, weight, bias: x @ weight.T + bias,
    "max_pool": _max_pool,
    "maximum": lambda x, y: np.maximum(x, y),
    "minimum": lambda x, y: np.minimum(x, y),
    "pad": lambda x, pad, constant_val, **_: np.pad(
        x, [(0, 0)] * (x.ndim - len(pad) // 2) + _pairs(pad), constant_values=constant_val
    ),
    "reduce_mean": lambda x, axes, keep_dims: x.mean(tuple(axes), keepdims=bool(keep_dims)),
    "reduce_sum": lambda x, axes, keep_dims: x.sum(tuple(axes), keepdims=bool(keep_dims)),
    "reshape": lambda x, shape: x.reshape(shape),
    "slice_by_index": _slice,
    "transpose": lambda x, perm: x.transpose(perm),
}
