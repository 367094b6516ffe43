"""Sizes of a transposed convolution, which is the adjoint of the convolution with the same options."""

from collections.abc import Sequence

from jaxcnn._axes import IntPerAxis, Sizes, as_int, check_sizes, int_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry._conv import ConvGeometry, check_groups, conv_geometry, spatial_rank
from jaxcnn._geometry._padding import Padding, pads_per_axis, reach
from jaxcnn._symbolic import is_less

SAME_NAMES = ("SAME", "SAME_LOWER")


def conv_transpose_geometry(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    output_padding: IntPerAxis = 0,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
) -> ConvGeometry:
    """The convolution whose adjoint is computed: its output has the shape of ``x``, its input the shape of the result.

    Raises:
        ShapeError: shapes or options that do not fit together, or an empty result.
        TypeError: an option that is not an integer where one is required.

    >>> g = conv_transpose_geometry((4, 4, 8), (3, 3, 16, 8), strides=2, padding=1, output_padding=1)
    >>> g.x_shape, g.out_shape
    ((8, 8, 16), (4, 4, 8))
    """
    x_shape, kernel_shape = tuple(x_shape), tuple(kernel_shape)
    ndim = spatial_rank(x_shape, kernel_shape, channels="out_channels // feature_group_count, in_channels")
    sizes, window = x_shape[-ndim - 1 : -1], kernel_shape[:-2]
    check_sizes(window, name="the window of kernel")
    steps = int_per_axis(strides, ndim, name="strides")
    gaps = int_per_axis(kernel_dilation, ndim, name="kernel_dilation")
    extra = int_per_axis(output_padding, ndim, name="output_padding", minimum=0)
    groups = as_int(feature_group_count, name="feature_group_count")
    _check_channels(x_shape, kernel_shape, groups)
    scaled = tuple(n * s for n, s in zip(sizes, steps, strict=True))
    pads = pads_per_axis(padding, scaled, window, strides=steps, dilation=gaps)
    if padding in SAME_NAMES:
        if any(extra):
            raise ShapeError(
                f"padding={padding!r} fixes the output at size * stride = {scaled}, so output_padding={extra} "
                f"has no place. Write the padding as counts."
            )
        result = scaled
    else:
        _check_output_padding(extra, steps, gaps)
        result = tuple(
            (n - 1) * s + reach(w, d) - sum(p) + e
            for n, s, w, d, p, e in zip(sizes, steps, window, gaps, pads, extra, strict=True)
        )
    if any(is_less(size, 1) for size in result):
        raise ShapeError(
            f"the output would have spatial sizes {result}: padding {pads} crops more than the input "
            f"of {sizes} spreads. Pad less."
        )
    return ConvGeometry(
        batch_shape=x_shape[: -ndim - 1],
        sizes=result,
        in_channels=kernel_shape[-2] * groups,
        window=window,
        out_channels=kernel_shape[-1],
        strides=steps,
        pads=pads,
        input_dilation=(1,) * ndim,
        kernel_dilation=gaps,
        groups=groups,
        out_sizes=sizes,
    )


def conv_transpose_output_shape(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    output_padding: IntPerAxis = 0,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
) -> Sizes:
    """The whole shape of ``conv_transpose(x, kernel, ...)``.

    Per axis ``(n - 1)*s + d*(k - 1) + 1 - before - after + output_padding``, and ``n * s`` for ``"SAME"``.

    Args:
        x_shape: ``(*batch, *spatial, in_channels)``.
        kernel_shape: ``(*window, out_channels // feature_group_count, in_channels)``.
        strides: as in ``conv_transpose``, like ``padding``, ``output_padding``, ``kernel_dilation`` and
            ``feature_group_count``.

    Raises:
        ShapeError: arguments for which ``conv_transpose`` raises a ``ShapeError``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    >>> conv_transpose_output_shape((2, 2, 1), (3, 3, 1, 1), strides=2, padding="VALID")
    (5, 5, 1)
    """
    return conv_transpose_geometry(
        x_shape,
        kernel_shape,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    ).x_shape


def conv_transpose_output_padding(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "VALID",
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
) -> Sizes:
    """The ``output_padding`` with which ``conv_transpose`` inverts the shape of ``conv(x, kernel, ...)``.

    The number of positions that the strides skip at the end of each axis: ``(n + before + after - d*(k-1) - 1) mod s``.

    Args:
        x_shape: the input of ``conv``, ``(*batch, *spatial, in_channels)``.
        kernel_shape: ``(*window, in_channels // feature_group_count, out_channels)``.
        strides: as in ``conv``, like ``padding``, ``kernel_dilation`` and ``feature_group_count``.

    Raises:
        ShapeError: arguments for which ``conv`` raises a ``ShapeError``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    >>> conv_transpose_output_padding((7, 8, 3), (3, 3, 3, 16), strides=2, padding=1)  # 7 -> 4 -> 7, 8 -> 4 -> 8
    (0, 1)
    """
    geometry = conv_geometry(
        x_shape,
        kernel_shape,
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    return tuple(
        (n + sum(p) - span) % s
        for n, p, span, s in zip(geometry.sizes, geometry.pads, geometry.reaches, geometry.strides, strict=True)
    )


def _check_channels(x_shape: Sizes, kernel_shape: Sizes, groups: int) -> None:
    channels, reads = x_shape[-1], kernel_shape[-1]
    if channels != reads:
        if kernel_shape[-2] * groups == channels:
            hint = (
                "The kernel is that of the conv which this one transposes, so its last axis reads x: swap its last two."
            )
        else:
            hint = "Is x channels-first?"
        raise ShapeError(
            f"the kernel (*window, out_channels // feature_group_count, in_channels) reads {reads} channels "
            f"but x has {channels} (kernel.shape={kernel_shape}, x.shape={x_shape}). {hint}"
        )
    check_groups(groups, channels, what="input")


def _check_output_padding(extra: Sizes, steps: Sizes, gaps: Sizes) -> None:
    for axis, (entry, stride, dilation) in enumerate(zip(extra, steps, gaps, strict=True)):
        if entry >= max(stride, dilation):
            raise ShapeError(
                f"output_padding={extra} must be smaller than the stride or the dilation, and on spatial axis "
                f"{axis} it is {entry} with stride {stride} and dilation {dilation}. For a larger output pad less."
            )
