"""The geometry of a convolution in plain integers: sizes are computed and errors raised before any array operation."""

import dataclasses
from collections.abc import Sequence
from itertools import chain
from math import prod

from jaxcnn._axes import IntPerAxis, Sizes, as_int, check_sizes, int_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry._padding import Padding, Pads, dilated_size, output_size, pads_per_axis, reach
from jaxcnn._symbolic import is_symbolic


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvGeometry:
    """The shapes and options of a convolution; every algorithm computes exactly this::

        y[*b, o, c] = sum over k, i of  z[*b, strides * o + kernel_dilation * k, i] * kernel[k, i, c]

    where ``z`` is ``x`` with ``input_dilation - 1`` zeros between its entries, then padded with ``pads`` zeros
    (negative counts crop), and ``i`` runs over the channels of the group of ``c``.

    ``out_sizes`` is a separate field because the adjoint may have fewer positions than would fit.
    """

    batch_shape: Sizes
    sizes: Sizes
    in_channels: int
    window: Sizes
    out_channels: int
    strides: Sizes
    pads: Pads
    input_dilation: Sizes
    kernel_dilation: Sizes
    groups: int
    out_sizes: Sizes

    @property
    def ndim(self) -> int:
        """The number of spatial axes."""
        return len(self.window)

    @property
    def x_shape(self) -> Sizes:
        """``(*batch, *spatial, channels)``."""
        return (*self.batch_shape, *self.sizes, self.in_channels)

    @property
    def kernel_shape(self) -> Sizes:
        """``(*window, in_channels // groups, out_channels)``."""
        return (*self.window, self.in_channels // self.groups, self.out_channels)

    @property
    def out_shape(self) -> Sizes:
        """``(*batch, *out_spatial, out_channels)``."""
        return (*self.batch_shape, *self.out_sizes, self.out_channels)

    @property
    def reaches(self) -> Sizes:
        """The number of positions of the padded input that the window spans on each axis."""
        return tuple(reach(w, d) for w, d in zip(self.window, self.kernel_dilation, strict=True))

    @property
    def dilated_sizes(self) -> Sizes:
        """Spatial sizes of ``x`` after input dilation, before padding."""
        return tuple(dilated_size(n, d) for n, d in zip(self.sizes, self.input_dilation, strict=True))

    @property
    def is_static(self) -> bool:
        """Whether every size is an integer; the batch or the positions of an exported program may be symbolic."""
        return not any(map(is_symbolic, (*self.x_shape, *self.kernel_shape, *self.out_shape, *chain(*self.pads))))

    @property
    def is_empty(self) -> bool:
        """Whether one of the arrays has size 0."""
        return 0 in (*self.x_shape, *self.kernel_shape, *self.out_shape)

    @property
    def multiply_adds(self) -> int:
        """Products of one call when every tap of every position is computed, padding included."""
        return prod(self.out_shape) * prod(self.window) * (self.in_channels // self.groups)

    def transposed(self) -> "ConvGeometry":
        """The convolution that maps a cotangent of ``y`` to a cotangent of ``x``.

        Strides and input dilation are exchanged. The kernel is flipped, with the input and output channels of each
        group exchanged. Positions at the end of an axis that the strides skip become padding after.
        """
        pads = []
        for size, out, stride, span, (before, _) in zip(
            self.dilated_sizes, self.out_sizes, self.strides, self.reaches, self.pads, strict=True
        ):
            first = span - 1 - before
            pads.append((first, size + span - 1 - dilated_size(out, stride) - first))
        return dataclasses.replace(
            self,
            sizes=self.out_sizes,
            out_sizes=self.sizes,
            in_channels=self.out_channels,
            out_channels=self.in_channels,
            strides=self.input_dilation,
            input_dilation=self.strides,
            pads=tuple(pads),
        )

    def of_kernel_grad(self) -> "ConvGeometry":
        """The convolution of ``x`` with a cotangent of ``y`` that computes the kernel gradient, for one batch axis.

        Batch and channels of ``x`` are exchanged: the sum is over images, and channels of ``x`` are separate. The
        cotangent is the kernel, so strides and kernel dilation are exchanged.
        """
        (batch,) = self.batch_shape
        pads = []
        for size, out, stride, span, (before, _) in zip(
            self.dilated_sizes, self.out_sizes, self.strides, self.reaches, self.pads, strict=True
        ):
            pads.append((before, span - 1 + dilated_size(out, stride) - size - before))
        return dataclasses.replace(
            self,
            batch_shape=(self.in_channels,),
            in_channels=batch,
            window=self.out_sizes,
            out_sizes=self.window,
            strides=self.kernel_dilation,
            kernel_dilation=self.strides,
            pads=tuple(pads),
        )

    def with_batch(self, *batch_shape: int) -> "ConvGeometry":
        """The same convolution with another batch shape."""
        return dataclasses.replace(self, batch_shape=batch_shape)

    def group_block(self, groups: int) -> "ConvGeometry":
        """The dense convolution that merges this number of neighbouring groups into one."""
        return dataclasses.replace(
            self,
            in_channels=self.in_channels // self.groups * groups,
            out_channels=self.out_channels // self.groups * groups,
            groups=1,
        )

    def padded(self) -> "ConvGeometry":
        """The same convolution of an input that is already dilated and padded."""
        return dataclasses.replace(
            self,
            sizes=tuple(n + sum(pads) for n, pads in zip(self.dilated_sizes, self.pads, strict=True)),
            pads=((0, 0),) * self.ndim,
            input_dilation=(1,) * self.ndim,
        )


def conv_geometry(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
) -> ConvGeometry:
    """The geometry of a convolution from the shapes of its two arrays and its options.

    Names of ``padding`` refer to the dilated input.

    Raises:
        ShapeError: shapes or options that do not fit together, or a window larger than the padded input.
        TypeError: an option that is not an integer where one is required.

    >>> g = conv_geometry((8, 224, 224, 3), (7, 7, 3, 64), strides=2)
    >>> g.pads, g.out_sizes
    (((2, 3), (2, 3)), (112, 112))
    >>> g.transposed().pads  # the adjoint is a convolution of the 112 x 112 map, dilated by 2
    ((4, 3), (4, 3))
    """
    x_shape, kernel_shape = tuple(x_shape), tuple(kernel_shape)
    ndim = spatial_rank(x_shape, kernel_shape, channels="in_channels // feature_group_count, out_channels")
    batch, sizes, window = x_shape[: -ndim - 1], x_shape[-ndim - 1 : -1], kernel_shape[:-2]
    check_sizes(window, name="the window of kernel")
    steps = int_per_axis(strides, ndim, name="strides")
    gaps = int_per_axis(kernel_dilation, ndim, name="kernel_dilation")
    spread = int_per_axis(input_dilation, ndim, name="input_dilation")
    groups = _group_count(feature_group_count, x_shape, kernel_shape)
    dilated = tuple(dilated_size(n, d) for n, d in zip(sizes, spread, strict=True))
    pads = pads_per_axis(padding, dilated, window, strides=steps, dilation=gaps)
    out_sizes = tuple(
        output_size(n, w, stride=s, dilation=d, pads=p, axis=axis)
        for axis, (n, w, s, d, p) in enumerate(zip(dilated, window, steps, gaps, pads, strict=True))
    )
    return ConvGeometry(
        batch_shape=batch,
        sizes=sizes,
        in_channels=x_shape[-1],
        window=window,
        out_channels=kernel_shape[-1],
        strides=steps,
        pads=pads,
        input_dilation=spread,
        kernel_dilation=gaps,
        groups=groups,
        out_sizes=out_sizes,
    )


def groups_per_block(geometry: ConvGeometry, *, width: int = 16) -> int:
    """The number of groups to merge into one dense block: the smallest power of two with at least ``width`` channels.

    >>> g = conv_geometry((8, 28, 28, 128), (3, 3, 4, 128), feature_group_count=32)
    >>> groups_per_block(g)  # 4 groups of 4 channels
    4
    """
    merged = 1
    widest = max(geometry.in_channels, geometry.out_channels) // geometry.groups
    while merged * widest < width and geometry.groups % (2 * merged) == 0:
        merged *= 2
    return merged


def conv_output_shape(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
) -> Sizes:
    """The whole shape of ``conv(x, kernel, ...)``: ``floor((n + before + after - d*(k-1) - 1) / s) + 1`` per axis.

    Args:
        x_shape: ``(*batch, *spatial, in_channels)``.
        kernel_shape: ``(*window, in_channels // feature_group_count, out_channels)``.
        strides: as in ``conv``, like ``padding``, ``input_dilation``, ``kernel_dilation`` and ``feature_group_count``.

    Raises:
        ShapeError: arguments for which ``conv`` raises a ``ShapeError``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    >>> conv_output_shape((32, 32, 3), (5, 5, 3, 6), padding="VALID")
    (28, 28, 6)
    """
    return conv_geometry(
        x_shape,
        kernel_shape,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    ).out_shape


def conv_kernel_shape(
    in_channels: int, out_channels: int, window: Sequence[int], *, feature_group_count: int = 1
) -> Sizes:
    """The shape of a kernel from ``in_channels`` to ``out_channels``: ``(*window, in // groups, out)``.

    Raises:
        ShapeError: ``feature_group_count`` does not divide both numbers of channels.

    >>> conv_kernel_shape(32, 64, (3, 3), feature_group_count=4)
    (3, 3, 8, 64)
    """
    groups = as_int(feature_group_count, name="feature_group_count")
    for channels, what in ((in_channels, "input"), (out_channels, "output")):
        check_groups(groups, channels, what=what)
    return (*window, in_channels // groups, out_channels)


def check_groups(groups: int, channels: int, *, what: str) -> None:
    """Raises unless the groups divide the channels.

    Raises:
        ShapeError: the groups do not divide the channels; the message names the nearest divisors.
    """
    if groups < 1:
        raise ShapeError(f"feature_group_count={groups} must be at least 1.")
    if channels % groups:
        divisors = [g for g in range(1, channels + 1) if channels % g == 0]
        near = sorted(sorted(divisors, key=lambda g: abs(g - groups))[:2])
        raise ShapeError(
            f"feature_group_count={groups} does not divide the {channels} {what} channels. "
            f"The nearest divisors are {' and '.join(map(str, near))}."
        )


def check_bias(bias_shape: Sequence[int], channels: int) -> None:
    """Raises unless a bias has one entry per output channel.

    Raises:
        ShapeError: another shape.
    """
    if tuple(bias_shape) != (channels,):
        raise ShapeError(
            f"bias must have one entry per output channel, shape ({channels},), but has {tuple(bias_shape)}."
        )


def spatial_rank(x_shape: Sizes, kernel_shape: Sizes, *, channels: str) -> int:
    """The number of spatial axes, which the kernel determines.

    Raises:
        ShapeError: a kernel without a window (``channels`` names its last two axes in the message), or too few axes of
            ``x``.
    """
    if len(kernel_shape) < 3:
        raise ShapeError(
            f"the kernel must have the shape (*window, {channels}), three axes or more, but "
            f"kernel.shape={kernel_shape}. A kernel without a window is for pointwise_conv."
        )
    ndim = len(kernel_shape) - 2
    if len(x_shape) < ndim + 1:
        raise ShapeError(
            f"a kernel with {ndim} window axes (kernel.shape={kernel_shape}) requires x of the shape "
            f"(*batch, *spatial, channels) with {ndim} spatial axes, but x.shape={x_shape} has {len(x_shape)} "
            f"axes in all. "
            f"Is the channel axis missing? Try x[..., None]."
        )
    return ndim


def _group_count(feature_group_count: int, x_shape: Sizes, kernel_shape: Sizes) -> int:
    """The number of groups, checked against the channels of both arrays."""
    groups = as_int(feature_group_count, name="feature_group_count")
    channels, reads, writes = x_shape[-1], kernel_shape[-2], kernel_shape[-1]
    if groups == channels == 0:
        raise ShapeError(f"a group for each channel requires channels, and x has none (x.shape={x_shape}).")
    if groups < 1:
        raise ShapeError(f"feature_group_count={groups} must be at least 1.")
    if reads * groups != channels:
        first = -(len(kernel_shape) - 1)
        if channels % groups == 0 and channels == reads:
            hint = f"With groups the kernel's axis -2 holds in_channels // feature_group_count = {channels // groups}."
        elif kernel_shape[1] * groups == channels != kernel_shape[0] and len(set(kernel_shape[2:])) == 1:
            order = (*range(2, len(kernel_shape)), 1, 0)
            hint = f"Is the kernel (out, in, *window), as in PyTorch? jnp.transpose(kernel, {order})."
        elif channels % groups and channels != reads:
            hint = f"feature_group_count={groups} does not divide {channels}. Is x channels-first?"
        elif x_shape[first] == reads * groups:
            hint = f"Is x channels-first? Its axis {first} has {reads * groups}: jnp.moveaxis(x, {first}, -1)."
        else:
            hint = "Is x channels-first?"
        counted = f"{reads} x {groups} groups = {reads * groups}" if groups > 1 else f"{reads}"
        raise ShapeError(f"the kernel reads {counted} channels but x has {channels} (x.shape={x_shape}). {hint}")
    check_groups(groups, writes, what="output")
    return groups
