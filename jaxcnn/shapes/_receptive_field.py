"""The input positions on which an output of a stack of convolutions and pools depends, in plain integers.

``receptive_field`` computes the closed form of textbooks: size, jump and offset of the span, which is the same for
every position. ``positions_seen`` lists the exact input positions of one output. It takes into account the gaps of
dilation, the border of the image, and transposed convolutions, whose outputs have different receptive fields.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from jaxcnn._axes import IntPerAxis, as_int, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import Padding, Span, dilated_size, output_size, pads_per_axis, reach


@dataclasses.dataclass(frozen=True)
class SlidingWindow:
    """The geometry of one convolution or pool, which determines its receptive field.

    Attributes:
        window_shape: one integer per spatial axis.
        strides: steps between windows, or the input dilation of a transposed layer.
        padding: as in ``functional.conv``.
        window_dilation: steps between the entries of a window (``kernel_dilation`` of a convolution).
        transposed: whether the layer is the adjoint of such a window, like ``conv_transpose``.
    """

    window_shape: Sequence[int]
    strides: IntPerAxis = dataclasses.field(default=1, kw_only=True)
    padding: Padding = dataclasses.field(default="VALID", kw_only=True)
    window_dilation: IntPerAxis = dataclasses.field(default=1, kw_only=True)
    transposed: bool = dataclasses.field(default=False, kw_only=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """On each axis, output ``o`` depends on the inputs ``offset + jump * o`` to ``offset + jump * o + size - 1``.

    Attributes:
        size: number of input positions of the span, padding and the gaps of dilation included.
        jump: distance between the spans of neighbouring outputs, the product of the strides. It is a fraction after
            up-sampling, and 0 if all outputs have the same span.
        offset: first position of the span of output 0; negative in the padding.
    """

    size: tuple[int, ...]
    jump: tuple[float, ...]
    offset: tuple[int, ...]

    def span(self, position: Sequence[int]) -> tuple[tuple[float, float], ...]:
        """First and last input position of the span of one output, on each axis; in the padding they are out of range.

        >>> ReceptiveField(size=(5,), jump=(2,), offset=(-1,)).span((3,))
        ((5, 9),)
        """
        firsts = [o + j * p for o, j, p in zip(self.offset, self.jump, position, strict=True)]
        return tuple((first, first + size - 1) for first, size in zip(firsts, self.size, strict=True))

    def union(self, other: "ReceptiveField") -> "ReceptiveField":
        """The receptive field of the sum or the concatenation of two branches (a residual block, an Inception module).

        Raises:
            ShapeError: the branches have different jumps.

        >>> shortcut = ReceptiveField(size=(1,), jump=(1,), offset=(0,))
        >>> shortcut.union(ReceptiveField(size=(5,), jump=(1,), offset=(-2,)))
        ReceptiveField(size=(5,), jump=(1,), offset=(-2,))
        """
        if self.jump != other.jump:
            raise ShapeError(
                f"ReceptiveField.union: the jumps of the branches, {self.jump} and {other.jump}, differ, so their "
                f"outputs are not at the same positions. Check their strides."
            )
        first = tuple(map(min, self.offset, other.offset))
        ends = zip(self.offset, self.size, other.offset, other.size, strict=True)
        last = [max(o1 + s1, o2 + s2) for o1, s1, o2, s2 in ends]
        return ReceptiveField(
            size=tuple(end - start for end, start in zip(last, first, strict=True)), jump=self.jump, offset=first
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Axis:
    """One layer on one axis; the sizes before and after it are None if they are unknown."""

    window: int
    stride: int
    dilation: int
    before: int
    size: int | None
    out_size: int | None
    transposed: bool

    def inputs(self, position: int) -> set[int]:
        """The input positions of the layer that one of its outputs reads."""
        assert self.size is not None, "positions require a known size of the input"
        if self.transposed:
            dilated = [position + self.before - j * self.dilation for j in range(self.window)]
            reads = [index // self.stride for index in dilated if index % self.stride == 0]
        else:
            reads = [position * self.stride - self.before + j * self.dilation for j in range(self.window)]
        return {index for index in reads if 0 <= index < self.size}


def receptive_field(
    layers: Iterable[SlidingWindow], *, input_shape: Sequence[int] | None = None, ndim: int | None = None
) -> ReceptiveField:
    """The receptive field of the outputs of the last layer with respect to the first layer's input.

    For each layer, ``size += jump * dilation * (window - 1)``, ``offset -= jump * before``, ``jump *= stride``.
    A convolution with window ``K`` and a pool with window ``P``, both of stride 1, have size ``P + K - 1``.

    Args:
        layers: from the first to the last; without layers the size is 1.
        input_shape: the spatial shape of the input. It is required for SAME with strides, whose padding depends on it.
            With it, every window is checked against the size of its input.
        ndim: number of spatial axes, required without layers and without ``input_shape``.

    Raises:
        ShapeError: layers of different rank, a window that does not fit, padding that requires ``input_shape``, or a
            transposed layer, whose outputs have different receptive fields (see ``positions_seen``).
        TypeError: options that are not made of integers.
        ValueError: an unknown name of a padding.

    Source: Araujo, Norris, Sim (2019), "Computing receptive fields of convolutional neural networks", equations
    for size and start; Dumoulin and Visin (2016), "A guide to convolution arithmetic".

    >>> conv, pool = SlidingWindow((5, 5)), SlidingWindow((2, 2), strides=2)
    >>> receptive_field([conv, pool])  # P + K - 1 = 6
    ReceptiveField(size=(6, 6), jump=(2, 2), offset=(0, 0))
    >>> receptive_field([conv, pool, conv, pool]).size  # LeNet-5 before its dense layers
    (16, 16)
    """
    layers = list(layers)
    rank = _rank(layers, input_shape, ndim)
    spans = [Span(1, 0, (1,))] * rank
    for number, axes in enumerate(_resolve(layers, input_shape, rank)):
        if layers[number].transposed:
            raise ShapeError(
                f"layer {number} is transposed, and the outputs of a transposed layer have different receptive "
                f"fields. positions_seen(layers, position, input_shape=...) lists the inputs of one output."
            )
        spans = [
            span.windows(0, axis.window, stride=axis.stride, dilation=axis.dilation, before=axis.before)
            for span, axis in zip(spans, axes, strict=True)
        ]
    return ReceptiveField(
        size=tuple(int(span.size) for span in spans),
        jump=tuple(int(span.jump) for span in spans),
        offset=tuple(int(span.first) for span in spans),
    )


def positions_seen(
    layers: Iterable[SlidingWindow], position: Sequence[int], *, input_shape: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """The input positions that one output position of a stack depends on, for each axis.

    The gradient of that output can differ from 0 exactly at the combinations of the listed positions. Gaps of dilation
    and of strides and positions in the padding are not listed.

    Args:
        layers: from the first to the last; transposed layers are supported.
        position: of the output, one integer per axis.
        input_shape: the spatial shape of the input.

    Raises:
        ShapeError: layers of different rank, a window that does not fit, or a position outside the output.
        TypeError: options that are not made of integers.
        ValueError: an unknown name of a padding.

    >>> positions_seen([SlidingWindow((3,), window_dilation=2)], (0,), input_shape=(7,))
    ((0, 2, 4),)
    >>> up = SlidingWindow((3, 3), strides=2, transposed=True)  # 2x2 -> 5x5
    >>> positions_seen([up], (2, 1), input_shape=(2, 2))
    ((0, 1), (0,))
    """
    layers = list(layers)
    rank = _rank(layers, input_shape, None)
    resolved = _resolve(layers, input_shape, rank)
    shape = tuple(axis.out_size or 0 for axis in resolved[-1]) if resolved else tuple(input_shape)
    place = tuple(as_int(index, name="position") for index in position)
    if len(place) != rank or not all(index in range(size) for index, size in zip(place, shape, strict=True)):
        raise ShapeError(f"position={place} is not in the output, whose spatial shape is {shape}.")
    seen = [{index} for index in place]
    for axes in reversed(resolved):
        seen = [set().union(*map(axis.inputs, positions)) for axis, positions in zip(axes, seen, strict=True)]
    return tuple(tuple(sorted(positions)) for positions in seen)


def _rank(layers: Sequence[SlidingWindow], input_shape: Sequence[int] | None, ndim: int | None) -> int:
    """The number of spatial axes, which must be the same in all arguments."""
    ranks = [len(window_per_axis(layer.window_shape)) for layer in layers]
    ranks += [len(input_shape)] if input_shape is not None else []
    ranks += [as_int(ndim, name="ndim")] if ndim is not None else []
    if not ranks:
        raise ShapeError("the number of spatial axes is unknown without a layer. Pass ndim=2 for images.")
    if len(set(ranks)) > 1:
        raise ShapeError(f"every layer and input_shape must have the same number of spatial axes, not {ranks}.")
    return ranks[0]


def _resolve(layers: Sequence[SlidingWindow], input_shape: Sequence[int] | None, rank: int) -> list[list[_Axis]]:
    """Every layer on every axis, with its padding as counts; known sizes are checked."""
    sizes: list[int | None] = [None] * rank
    if input_shape is not None:
        sizes = [as_int(size, name="input_shape") for size in input_shape]
    resolved = []
    for number, layer in enumerate(layers):
        try:
            axes = _resolve_layer(layer, sizes)
        except (ShapeError, TypeError) as error:
            raise type(error)(f"layer {number}: {error}") from None
        sizes = [axis.out_size for axis in axes]
        resolved.append(axes)
    return resolved


def _resolve_layer(layer: SlidingWindow, sizes: Sequence[int | None]) -> list[_Axis]:
    """One layer on every axis."""
    window = window_per_axis(layer.window_shape)
    strides = int_per_axis(layer.strides, len(window), name="strides")
    dilation = int_per_axis(layer.window_dilation, len(window), name="window_dilation")
    depends = str(layer.padding).startswith("SAME") and max(strides) > 1 and not layer.transposed
    if depends and None in sizes:
        raise ShapeError(
            f"the padding {layer.padding!r} of a layer with strides depends on the size of its input. "
            f"Pass input_shape, or write the padding as counts."
        )
    # Otherwise the padding does not depend on the size, and the reach of the window replaces an unknown one.
    stand_in = [reach(k, d) if n is None else n for n, k, d in zip(sizes, window, dilation, strict=True)]
    padded = [n * s for n, s in zip(stand_in, strides, strict=True)] if layer.transposed else stand_in
    pads = pads_per_axis(layer.padding, padded, window, strides=strides, dilation=dilation)
    axes = []
    for index, (n, k, s, d, pad) in enumerate(zip(sizes, window, strides, dilation, pads, strict=True)):
        out_size = None
        if n is not None and layer.transposed:
            same = str(layer.padding).startswith("SAME")
            out_size = n * s if same else dilated_size(n, s) + reach(k, d) - 1 - sum(pad)
            if out_size < 1:
                raise ShapeError(f"padding {pad} crops all of spatial axis {index} away. Crop less.")
        elif n is not None:
            out_size = output_size(n, k, stride=s, dilation=d, pads=pad, axis=index)
        axes.append(
            _Axis(window=k, stride=s, dilation=d, before=pad[0], size=n, out_size=out_size, transposed=layer.transposed)
        )
    return axes
