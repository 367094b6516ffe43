"""Eight-bit integers after training: convolutions and matrix products of bytes, summed in 32 bits.

``q = clip(round(x / s) + z, 0, 255)`` for activations, with one scale and zero point for each array;
``round(w / s_o)`` in -127..127 for weights, with one scale for each output channel. Then ``y = s * s_o * (sum of
(q - z) * w + round(b / (s * s_o)))``. Operations between the layers are computed in float32.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxcnn._arrays import as_array
from jaxcnn.export._calibrate import Calibration, Examples, Scales, check_images, ranges_of, scale_and_zero
from jaxcnn.export._fold import out_axis
from jaxcnn.export._operations import Operation, Uses, Value
from jaxcnn.export._portable import PortableProgram

FEW_CHANNELS = 4  # layers that read no more channels in a group are computed with floats, which is faster
# Operations whose results are stored in eight bits by runtimes.
STORED = ("add", "average_window", "concatenate", "conv_general_dilated", "dot_general", "mean", "reduce_window_max")
CLIPS = ("max", "clamp")
LEAST_UNIT = 1e-36  # of products; smaller units are 0 where subnormal numbers are flushed to 0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class QuantizedProgram(PortableProgram):
    """A portable program whose convolutions and matrix products are of bytes; ``quantize`` makes it.

    Attributes:
        operations: as in ``PortableProgram``, like ``input``, ``results``, ``tree`` and ``input_range``.
        original: the program before quantisation.
        scales: scale and zero point of each value that is stored in eight bits, by the id of the value.
        kernel_scales: the scales of the output channels of each kernel, by the id of its value.
        examples: the calibration images with the method, for runtimes that measure the ranges of their own arrays.
        keep: layers that stay float, by name.
    """

    original: PortableProgram
    scales: Scales
    kernel_scales: dict[int, np.ndarray]
    examples: Examples
    keep: tuple[str, ...]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of convolutions and matrix products for one example."""
        return self.original.multiply_adds


def quantize(
    program: PortableProgram,
    images: ArrayLike,
    *,
    method: Calibration = "minmax",
    percentile: float = 99.99,
    keep: Sequence[str] = (),
) -> QuantizedProgram:
    """Replaces the convolutions and the matrix products of a program by those of eight-bit integers.

    Weights are symmetric with a scale for each output channel; activations are unsigned with one scale for each array,
    from its range on the calibration images. Biases have 32 bits. Layers that read few channels, such as the first and
    depthwise ones, are computed with floats that hold the integers: XLA is faster with floats there, and the sums are
    the same.

    Args:
        program: made by ``portable``.
        images: a few hundred representative inputs of the program, for calibration.
        method: ``"minmax"``; ``"percentile"``, which leaves out the outermost values; or ``"entropy"``, which minimises
            the Kullback-Leibler divergence between the histograms before and after.
        percentile: the percentage of the values that the range of ``"percentile"`` covers.
        keep: layers that stay float, by name.

    Returns:
        a program that is called and written as the original.

    Raises:
        ShapeError: images of another shape than the program reads.
        TypeError: images of another dtype, or a program that has integers already.
        ValueError: images of another range than the program reads, a method or a layer that does not exist, a
            percentile outside of (50, 100], or values that are not finite.

    Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference
    (2018), section 2; Krishnamoorthi, Quantizing deep convolutional networks for efficient inference (2018).

    >>> from jaxcnn.export import portable
    >>> kernel, x = jnp.array([[1.0, -2.0], [0.5, 0.25]]), jnp.array([[0.2, 1.0], [0.7, 0.0]])
    >>> program = portable(lambda x: x @ kernel, (None, 2))
    >>> bool(abs(quantize(program, x)(x) - x @ kernel).max() < 0.01)
    True
    """
    check_floats(program)
    images = as_array(images, name="images")
    check_images(program, images)
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile={percentile} must be above 50 and at most 100.")
    layers = [each for each in program.operations if out_axis(each) is not None]
    names = {each.layer for each in layers}
    if unknown := [name for name in keep if name not in names]:
        raise ValueError(f"there is no layer {unknown[0]!r} to keep. Known: {', '.join(sorted(names))}.")
    layers = [each for each in layers if each.layer not in keep]
    values = stored_values(program, layers)
    examples = Examples(np.asarray(images), method, percentile)
    ranges = ranges_of(program, values, examples)
    for operation in program.operations:  # a maximum has the range of its input
        before, after = id(operation.inputs[0]), id(operation.outputs[0])
        if operation.name == "reduce_window_max" and before in ranges and after in ranges:
            ranges[after] = ranges[before]
    scales = {key: scale_and_zero(bounds) for key, bounds in ranges.items()}
    kernel_scales = dict[int, np.ndarray]()
    for each in layers:  # layers may share a kernel
        found, key = kernel_scale(each, scales[id(each.inputs[0])][0]), id(each.inputs[1])
        kernel_scales[key] = np.maximum(found, kernel_scales.get(key, found))
    chosen = set(map(id, layers))
    operations = [
        _quantized(each, *scales[id(each.inputs[0])], kernel_scales[id(each.inputs[1])]) if id(each) in chosen else each
        for each in program.operations
    ]
    rest = {field.name: getattr(program, field.name) for field in dataclasses.fields(PortableProgram)}
    rest["operations"] = tuple(operations)
    return QuantizedProgram(
        **rest, original=program, scales=scales, kernel_scales=kernel_scales, examples=examples, keep=tuple(keep)
    )


def check_floats(program: PortableProgram) -> None:
    """Checks that a program has no integers in place of weights yet.

    Raises:
        TypeError: ``quantize`` made it.
    """
    if isinstance(program, QuantizedProgram):
        raise TypeError("expected a program of floats, but this one is the result of quantize. Give its original.")


def stored_values(program: PortableProgram, layers: Sequence[Operation]) -> list[Value]:
    """The values that are stored in eight bits: inputs of layers, and results except those that are clipped next."""
    uses = Uses(program.operations, program.results)
    found = {id(each.inputs[0]): each.inputs[0] for each in layers}
    results = {id(value) for value in program.results}
    for operation in program.operations:
        value = operation.outputs[0]
        reader = uses.only_reader(value)
        joins = operation.name in STORED and not any(each.is_constant for each in operation.inputs[:2])
        linear = any(operation is each for each in layers)
        clipped = reader is not None and reader.name in CLIPS
        single = operation.name in ("average_window", "mean", "reduce_window_max") or operation.name in CLIPS
        stored = (joins or linear or single) and not clipped and id(value) not in results
        if stored and jnp.issubdtype(value.dtype, jnp.floating):
            found[id(value)] = value
    return list(found.values())


def kernel_scale(operation: Operation, scale: np.float32) -> np.ndarray:
    """The scale of each output channel of a layer's kernel.

    The scale maps the largest weight to 127. It is large enough that 30 bits hold the bias, in units of this scale
    times that of the input, because a channel whose weights are near 0 may have a large bias. It is 1 where both are 0.
    """
    axis, kernel = out_axis(operation), operation.inputs[1].array
    assert axis is not None and kernel is not None
    largest = np.abs(kernel).max(tuple(i for i in range(kernel.ndim) if i != axis)).astype(np.float32)
    found = largest / np.float32(127)
    for bias in operation.inputs[2:]:
        found = np.maximum(found, np.abs(np.asarray(bias.array, np.float64)) / (2.0**30 * scale)).astype(np.float32)
    return np.where(found * scale > LEAST_UNIT, found, np.float32(1)).astype(np.float32)


def integers_of_kernel(kernel: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
    """A kernel as int8, divided by the scales of its output channels."""
    shape = [-1 if i == axis else 1 for i in range(kernel.ndim)]
    return np.clip(np.round(kernel / scale.reshape(shape)), -127, 127).astype(np.int8)


def integers_of_bias(bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A bias as int32, in units of the products."""
    limit = np.iinfo(np.int32)
    return np.clip(np.round(bias.astype(np.float64) / scale), limit.min, limit.max).astype(np.int32)


def _quantized(operation: Operation, scale: np.float32, zero: int, kernel_scale: np.ndarray) -> Operation:
    """The layer as one of integers."""
    x, kernel, *bias = operation.inputs
    axis = out_axis(operation)
    assert axis is not None and kernel.array is not None
    weights = integers_of_kernel(np.asarray(kernel.array), kernel_scale, axis)
    offset = np.zeros(len(kernel_scale), np.int32)
    if bias and bias[0].array is not None:
        offset = integers_of_bias(np.asarray(bias[0].array), scale * kernel_scale)
    few = operation.name == "conv_general_dilated" and weights.shape[_in_axis(operation)] <= FEW_CHANNELS
    few = few and 255 * 127 * weights.size // len(offset) < 2**24  # or float32 would round the sums
    layer = IntegerLayer(operation, weights, offset, scale, zero, kernel_scale, "float" if few else "bytes")
    return dataclasses.replace(operation, inputs=(x,), apply=lambda x: [layer(x)])


def _in_axis(operation: Operation) -> int:
    return int(operation.params["dimension_numbers"].rhs_spec[1])


@dataclasses.dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A convolution or matrix product of integers.

    Attributes:
        operation: the original layer.
        weights: int8.
        bias: int32, in units of the products.
        scale: of the input.
        zero: zero point of the input, 0..255.
        kernel_scale: of each output channel.
        kind: whether products are of bytes, or of floats that hold the same integers.
    """

    operation: Operation
    weights: np.ndarray
    bias: np.ndarray
    scale: np.float32
    zero: int
    kernel_scale: np.ndarray
    kind: Literal["bytes", "float"]

    def __call__(self, x: jax.Array) -> jax.Array:
        """The result in the dtype of the original layer."""
        total = self.sums(self.quantized(x))
        dtype = self.operation.outputs[0].dtype
        return (total.astype(jnp.float32) * _row(self.scale * self.kernel_scale, total)).astype(dtype)

    def quantized(self, x: jax.Array) -> jax.Array:
        """The input as unsigned bytes."""
        return jnp.clip(jnp.round(x.astype(jnp.float32) / self.scale) + self.zero, 0, 255).astype(jnp.uint8)

    def sums(self, q: jax.Array) -> jax.Array:
        """The int32 sums of products, with the bias."""
        params = self.operation.params
        # XLA has no products of unsigned and signed bytes: both are signed, and the zero point moves by 128.
        shifted = (q.astype(jnp.int16) - 128).astype(jnp.int8)
        zero, weights = self.zero - 128, self.weights
        if self.operation.name == "dot_general":
            total = lax.dot_general(
                shifted, weights, params["dimension_numbers"], preferred_element_type=jnp.dtype(jnp.int32)
            )
            axes = params["dimension_numbers"][0][1]
            return total + _row(self.bias - zero * weights.astype(np.int32).sum(axes, dtype=np.int32), total)
        numbers = params["dimension_numbers"]
        config = [(0, 0, 0)] * shifted.ndim
        for axis, (before, after), dilation in zip(
            numbers.lhs_spec[2:], params["padding"], params["lhs_dilation"], strict=True
        ):
            config[axis] = (before, after, dilation - 1)
        shifted = lax.pad(shifted, jnp.int8(zero), config)
        convolve = functools.partial(
            lax.conv_general_dilated,
            window_strides=params["window_strides"],
            padding=[(0, 0)] * (shifted.ndim - 2),
            rhs_dilation=params["rhs_dilation"],
            dimension_numbers=numbers,
            feature_group_count=params["feature_group_count"],
        )
        if self.kind == "bytes":
            total = convolve(shifted, jnp.asarray(weights), preferred_element_type=jnp.dtype(jnp.int32))
        else:
            exact = convolve(
                (shifted.astype(jnp.float32) - zero), jnp.asarray(weights, jnp.float32), precision="highest"
            )
            return exact.astype(jnp.int32) + _row(self.bias, exact)
        others = tuple(axis for axis in range(weights.ndim) if axis != numbers.rhs_spec[0])
        return total + _row(self.bias - zero * weights.astype(np.int32).sum(others, dtype=np.int32), total)


def _row(values: np.ndarray, like: jax.Array) -> np.ndarray:
    """One value for each channel, in a shape that broadcasts against an array with the channels last."""
    return values.reshape((1,) * (like.ndim - 1) + (-1,))
