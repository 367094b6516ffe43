"""A graph of ONNX that is being written: nodes, initializers, and the order of the axes of each value.

ONNX has channels first, JAX here has them last. A value is transposed only where an operation requires another order of
its axes. So images are transposed at the first convolution, and the values after it keep the order in which ONNX
computes them.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn._extras import import_optional
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._calibrate import Scales
from jaxcnn.export._operations import Operation, Uses, Value, unwritable
from jaxcnn.export._quantize import integers_of_bias, integers_of_kernel

OPSET = 17
IR_VERSION = 8  # that of opset 17, so that runtimes of 2022 read the file


@dataclasses.dataclass(frozen=True)
class Tensor:
    """The tensor of a value in the graph.

    Attributes:
        name: in the graph.
        axes: for each axis of the tensor the axis of the value.
        blocks: the sizes of the axes, channels last, that were flattened into the last axis; in the tensor the channels
            are the first of them. Empty if the last axis is in the order of the value.
    """

    name: str
    axes: tuple[int, ...]
    blocks: tuple[int, ...] = ()


class Graph:
    """Nodes and initializers, with a tensor for each value.

    Args:
        scales: scale and zero point of each value that is stored in eight bits, by its id.
        kernel_scales: the scales of the output channels of each kernel of integers, by the id of its value.
    """

    def __init__(self, scales: Scales | None = None, kernel_scales: Mapping[int, np.ndarray] | None = None) -> None:
        self._scales, self._kernel_scales = scales or {}, kernel_scales or {}
        self._stored: dict[int, str] = {}
        self.onnx = import_optional("onnx")
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.layer = ""
        self._tensors: dict[int, Tensor] = {}
        self._names: Counter[str] = Counter()
        self._constants: dict[Any, str] = {}
        self._converted: dict[tuple[str, tuple[int, ...]], str] = {}
        self.batch_of = ""  # an input whose first size is the batch
        self.uses = Uses([], [])  # of the program that is being written

    # ------------------------------------------------------------------------------------------------- nodes

    def unique(self, name: str) -> str:
        """A name that the graph does not have yet."""
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Adds a node, and returns the name of its first result."""
        return self.nodes_results(kind, *inputs, outputs=outputs, **attributes)[0]

    def nodes_results(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Adds a node, and returns the names of its results."""
        name = self.unique("/".join(filter(None, [self.layer, kind])))
        names = [name] if outputs == 1 else [self.unique(f"{name}/{index}") for index in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names

    @contextlib.contextmanager
    def nested(self) -> Iterator[list[Any]]:
        """Inside the block, nodes are added to the list that the context manager yields, such as the body of a loop.

        The body may read values from outside, but values of the body cannot be read outside.
        """
        nodes, uses = self.nodes, self.uses
        tensors, converted, stored = dict(self._tensors), dict(self._converted), dict(self._stored)
        self.nodes = []
        try:
            yield self.nodes
        finally:
            self.nodes, self.uses = nodes, uses
            self._tensors, self._converted, self._stored = tensors, converted, stored

    def constant(self, array: Any, *, name: str = "constant", shared: bool = True) -> str:
        """An initializer; equal small arrays are one initializer if ``shared``."""
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes()) if shared and array.size <= 64 else None
        if key is not None and key in self._constants:
            return self._constants[key]
        unique = self.unique("/".join(filter(None, [self.layer, name])))
        self.initializers.append(self.onnx.numpy_helper.from_array(array, unique))
        if key is not None:
            self._constants[key] = unique
        return unique

    def integers(self, values: Sequence[int]) -> str:
        """A vector of int64: shapes, axes, indices."""
        return self.constant(np.asarray(values, np.int64), name="integers")

    def element_type(self, dtype: Any) -> int:
        """ONNX's number for a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    # ------------------------------------------------------------------------------------------------ values

    def set(self, value: Value, name: str, axes: Sequence[int] | None = None, blocks: Sequence[int] = ()) -> None:
        """Records the tensor of a value; its axes are in the order of the value unless ``axes`` gives another order."""
        axes = tuple(range(len(value.shape))) if axes is None else tuple(axes)
        if name != self.batch_of:
            name = self.stored(value, name)
        self._tensors[id(value)] = Tensor(name, axes, tuple(blocks))

    def stored(self, value: Value, name: str) -> str:
        """The tensor of a value, quantized and dequantized if the value is stored in eight bits."""
        if id(value) not in self._scales or id(value) in self._stored:
            return name
        scale, zero = self._scales[id(value)]
        parameters = self.constant(scale, name="scale"), self.constant(np.uint8(zero), name="zero")
        self._stored[id(value)] = self.node(
            "DequantizeLinear", self.node("QuantizeLinear", name, *parameters), *parameters
        )
        return self._stored[id(value)]

    def kernel(self, value: Value, array: np.ndarray, axis: int) -> str:
        """A kernel in the layout of a node, with its output channels at ``axis``; of integers if it is quantized."""
        scale = self._kernel_scales.get(id(value))
        if scale is None:
            return self.constant(array, name="weight")
        integers = integers_of_kernel(array, scale, axis)
        # onnxruntime's exact sums on CPUs without VNNI replace these zeros, and fail where two layers share them.
        zeros = self.constant(np.zeros(len(scale), np.int8), name="zero", shared=False)
        return self.node(
            "DequantizeLinear",
            self.constant(integers, name="weight"),
            self.constant(scale, name="scale"),
            zeros,
            axis=axis,
        )

    def bias(self, value: Value, x: Value, kernel: Value) -> str:
        """A bias; of integers in units of the products if the layer is quantized."""
        scale = self._kernel_scales.get(id(kernel))
        assert value.array is not None
        if scale is None:
            return self.constant(value.array, name="bias")
        units = (self._scales[id(x)][0] * scale).astype(np.float32)
        integers = self.constant(integers_of_bias(np.asarray(value.array), units), name="bias")
        zeros = self.constant(np.zeros(len(scale), np.int32), name="zero")
        return self.node("DequantizeLinear", integers, self.constant(units, name="scale"), zeros, axis=0)

    def is_quantized(self, kernel: Value) -> bool:
        """Whether the layer of a kernel is one of integers."""
        return id(kernel) in self._kernel_scales

    def tensor(self, value: Value) -> Tensor:
        """The tensor of a value; a constant is added with its axes in the order of the value."""
        if value.array is not None:
            return Tensor(self.constant(value.array), tuple(range(len(value.shape))))
        return self._tensors[id(value)]

    def plain(self, value: Value) -> Tensor:
        """The tensor of a value, without axes that are flattened in another order."""
        tensor = self.tensor(value)
        return Tensor(self.natural(value), tuple(range(len(value.shape)))) if tensor.blocks else tensor

    def made(self, value: Value) -> Tensor | None:
        """The tensor of a value; None for a constant, and for a value that is not written yet."""
        return None if value.is_constant else self._tensors.get(id(value))

    def axes(self, value: Value) -> tuple[int, ...]:
        """The order of the axes of a value; that of JAX for a flattened one."""
        return tuple(range(len(value.shape))) if value.is_constant else self._tensors[id(value)].axes

    def natural(self, value: Value) -> str:
        """The value with its axes in the order of JAX."""
        return self.ordered(value, tuple(range(len(value.shape))))

    def ordered(self, value: Value, axes: tuple[int, ...]) -> str:
        """The value with its axes in another order."""
        if value.array is not None:
            return self.constant(value.array.transpose(axes), name="weight" if value.array.ndim > 1 else "constant")
        tensor = self._tensors[id(value)]
        if tensor.blocks:
            tensor = self._unblocked(value, tensor)
        if tensor.axes == axes:
            return tensor.name
        key = (tensor.name, axes)
        if key not in self._converted:
            if same_order(value.shape, tensor.axes, axes):
                self._converted[key] = self.reshaped(tensor.name, [value.shape[axis] for axis in axes])
            else:
                perm = [tensor.axes.index(axis) for axis in axes]
                self._converted[key] = self.node("Transpose", tensor.name, perm=perm)
        return self._converted[key]

    def _unblocked(self, value: Value, tensor: Tensor) -> Tensor:
        *spatial, channels = tensor.blocks
        whole = self.reshaped(tensor.name, [*value.shape[:-1], channels, *spatial])
        first = len(value.shape) - 1
        perm = [*range(first), *range(first + 1, first + 1 + len(spatial)), first]
        name = self.reshaped(self.node("Transpose", whole, perm=perm), value.shape)
        self.set(value, name)
        return self._tensors[id(value)]

    def reshaped(self, name: str, sizes: Sequence[Any]) -> str:
        """A tensor in another shape; one size may be symbolic.

        Raises:
            ValueError: more than one size is symbolic.
        """
        if sum(map(is_symbolic, sizes)) > 1:
            raise ValueError(
                f"a reshape of layer {self.layer!r} has several sizes that depend on the batch, {tuple(sizes)}, which "
                f"ONNX cannot infer. Give the batch as a number."
            )
        return self.node("Reshape", name, self.integers([-1 if is_symbolic(size) else size for size in sizes]))

    def expanded(self, name: str, sizes: Sequence[Any], known: Sequence[Any]) -> str:
        """A tensor of the sizes ``known``, broadcast to ``sizes``, which has as many entries."""
        if list(sizes) == list(known):
            return name
        shape = [1 if is_symbolic(size) and is_symbolic(old) else size for size, old in zip(sizes, known, strict=True)]
        if not any(map(is_symbolic, shape)):
            return self.node("Expand", name, self.integers(shape))
        batch = self.node("Shape", self.batch_of, start=0, end=1)
        parts = [batch if is_symbolic(size) else self.integers([size]) for size in shape]
        return self.node("Expand", name, self.node("Concat", *parts, axis=0))


def long_axes(shape: Sequence[Any], axes: Sequence[int] | None = None) -> list[int]:
    """The axes whose size is not 1, in an order of axes.

    >>> long_axes((8, 1, 5)), long_axes((8, 1, 5), (2, 1, 0))
    ([0, 2], [2, 0])
    """
    axes = range(len(shape)) if axes is None else axes
    return [axis for axis in axes if is_symbolic(shape[axis]) or shape[axis] != 1]


def same_order(shape: Sequence[Any], one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two orders of axes differ in the places of axes of size 1 only.

    >>> same_order((8, 1, 1, 3), (0, 1, 2, 3), (0, 3, 1, 2)), same_order((8, 2, 1, 3), (0, 1, 2, 3), (0, 3, 1, 2))
    (True, False)
    """
    return long_axes(shape, one) == long_axes(shape, other)


def channels_first(ndim: int) -> tuple[int, ...]:
    """The order ``(batch, channels, *spatial)``.

    >>> channels_first(4)
    (0, 3, 1, 2)
    """
    return (0, ndim - 1, *range(1, ndim - 1)) if ndim > 2 else tuple(range(ndim))


def unsupported(operation: Operation, why: str) -> ValueError:
    """The error about an operation that ONNX does not have, with its layer."""
    return unwritable(operation, "ONNX", why)


def described(graph: Graph, name: str, value: Value) -> Any:
    """Name, type and sizes of an input or a result."""
    shape = ["batch" if is_symbolic(size) else size for size in value.shape]
    return graph.onnx.helper.make_tensor_value_info(name, graph.element_type(value.dtype), shape)


def every_node(nodes: Iterable[Any]) -> Iterator[Any]:
    """Nodes, and those of the bodies of loops among them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from every_node(attribute.g.node)
