"""Parameters and multiply-adds of a layer, computed from its geometry.

A multiply-add is one product that is added to a sum. Every tap of every position counts, padding included, as in the
tables of papers and of torchvision; adding a bias does not count. Input shapes may have batch axes: multiply-adds are
for the whole batch.
"""

import dataclasses
from collections.abc import Sequence
from math import prod

from jaxcnn._axes import IntPerAxis, Sizes, as_int, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import ConvGeometry, Padding, conv_geometry, conv_kernel_shape, conv_transpose_geometry


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerCounts:
    """Output shape, parameters and multiply-adds of one layer.

    Attributes:
        output_shape: with the batch axes of the input.
        parameters: number of trainable values.
        macs: multiply-adds of one forward pass.
    """

    output_shape: Sizes
    parameters: int
    macs: int


def conv_counts(
    input_shape: Sequence[int],
    features: int,
    kernel_size: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    use_bias: bool = True,
) -> LayerCounts:
    """Counts of a convolution with ``K`` taps, ``C`` channels to ``F`` features in ``G`` groups, at ``P`` positions.

    ``K * C/G * F + F`` parameters and ``P * K * C/G * F`` multiply-adds. Depthwise is ``G = C``.

    Args:
        input_shape: ``(*batch, *spatial, channels)``.
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: as in ``conv``, like ``padding``, ``input_dilation``, ``kernel_dilation`` and ``feature_group_count``.
        use_bias: whether there is a bias.

    Raises:
        ShapeError: arguments for which ``conv`` raises a ``ShapeError``, or a bare int as ``kernel_size``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.2; Howard et al. (2017), "MobileNets",
    section 3.1, for depthwise.

    >>> conv_counts((32, 32, 3), 6, (5, 5), padding="VALID")  # LeNet's first layer on colour: 76 for each filter
    LayerCounts(output_shape=(28, 28, 6), parameters=456, macs=352800)
    >>> conv_counts((14, 14, 512), 512, (3, 3), feature_group_count=512, use_bias=False).macs  # depthwise
    903168
    """
    geometry = _geometry(
        input_shape,
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    return LayerCounts(
        output_shape=geometry.out_shape,
        parameters=prod(geometry.kernel_shape) + features * use_bias,
        macs=geometry.multiply_adds,
    )


def conv_transpose_counts(
    input_shape: Sequence[int],
    features: int,
    kernel_size: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    output_padding: IntPerAxis = 0,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    use_bias: bool = True,
) -> LayerCounts:
    """Counts of a transposed convolution: each of the ``P`` inputs is multiplied by the whole kernel.

    ``K * C * F/G + F`` parameters and ``P * K * C * F/G`` multiply-adds, those of the convolution that it transposes.

    Args:
        input_shape: ``(*batch, *spatial, channels)``.
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: as in ``conv_transpose``, like ``padding``, ``output_padding``, ``kernel_dilation`` and
            ``feature_group_count``.
        use_bias: whether there is a bias.

    Raises:
        ShapeError: arguments for which ``conv_transpose`` raises a ``ShapeError``, or a bare int as ``kernel_size``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    Source: Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning", chapter 4.

    >>> conv_transpose_counts((2, 2, 1), 1, (3, 3), strides=2, padding="VALID", use_bias=False)
    LayerCounts(output_shape=(5, 5, 1), parameters=9, macs=36)
    """
    window = _window(kernel_size, input_shape)
    features = as_int(features, name="features")
    kernel = conv_kernel_shape(features, input_shape[-1], window, feature_group_count=feature_group_count)
    geometry = conv_transpose_geometry(
        input_shape,
        kernel,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    return LayerCounts(
        output_shape=geometry.x_shape,
        parameters=prod(geometry.kernel_shape) + features * use_bias,
        macs=geometry.multiply_adds,
    )


def local_conv_counts(
    input_shape: Sequence[int],
    features: int,
    kernel_size: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    use_bias: bool = True,
) -> LayerCounts:
    """Counts of an unshared convolution: the multiply-adds of a convolution, its parameters for each position.

    ``P * (K * C/G * F + F)`` parameters and ``P * K * C/G * F`` multiply-adds.

    Args:
        input_shape: ``(*batch, *spatial, channels)``.
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: as in ``local_conv``, like ``padding``, ``input_dilation``, ``kernel_dilation`` and
            ``feature_group_count``.
        use_bias: whether there is a bias.

    Raises:
        ShapeError: arguments for which ``local_conv`` raises a ``ShapeError``, or a bare int as ``kernel_size``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.5.

    >>> local_conv_counts((32, 32, 3), 6, (5, 5), padding="VALID")
    LayerCounts(output_shape=(28, 28, 6), parameters=357504, macs=352800)
    """
    geometry = _geometry(
        input_shape,
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    return LayerCounts(
        output_shape=geometry.out_shape,
        parameters=prod(geometry.out_sizes) * (prod(geometry.kernel_shape) + features * use_bias),
        macs=geometry.multiply_adds,
    )


def tiled_conv_counts(
    input_shape: Sequence[int],
    features: int,
    kernel_size: Sequence[int],
    *,
    tiles: IntPerAxis,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    use_bias: bool = True,
) -> LayerCounts:
    """Counts of a tiled convolution with ``T`` tiles: the multiply-adds of a convolution, its parameters ``T`` times.

    ``T * (K * C/G * F + F)`` parameters and ``P * K * C/G * F`` multiply-adds.

    Args:
        input_shape: ``(*batch, *spatial, channels)``.
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        tiles: number of filters that repeat along each axis.
        strides: as in ``tiled_conv``, like ``padding``, ``input_dilation``, ``kernel_dilation`` and
            ``feature_group_count``.
        use_bias: whether there is a bias.

    Raises:
        ShapeError: arguments for which ``tiled_conv`` raises a ``ShapeError``, or a bare int as ``kernel_size``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    Source: Le et al. (2010), "Tiled convolutional neural networks".

    >>> tiled_conv_counts((32, 32, 3), 6, (5, 5), tiles=2, padding="VALID")
    LayerCounts(output_shape=(28, 28, 6), parameters=1824, macs=352800)
    """
    geometry = _geometry(
        input_shape,
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    number = prod(int_per_axis(tiles, geometry.ndim, name="tiles"))
    return LayerCounts(
        output_shape=geometry.out_shape,
        parameters=number * (prod(geometry.kernel_shape) + features * use_bias),
        macs=geometry.multiply_adds,
    )


def dense_counts(input_shape: Sequence[int], features: int, *, use_bias: bool = True) -> LayerCounts:
    """Counts of a dense layer of ``C`` inputs and ``F`` features: ``C * F + F`` parameters, ``C * F`` multiply-adds.

    Args:
        input_shape: ``(*batch, channels)``.
        features: number of output channels.
        use_bias: whether there is a bias.

    Raises:
        ShapeError: an input without axes.
        TypeError: ``features`` is not an integer.

    >>> dense_counts((4096,), 1000)
    LayerCounts(output_shape=(1000,), parameters=4097000, macs=4096000)
    """
    shape = _input(input_shape)
    features = as_int(features, name="features")
    return LayerCounts(
        output_shape=(*shape[:-1], features),
        parameters=shape[-1] * features + features * use_bias,
        macs=prod(shape) * features,
    )


def batch_norm_counts(input_shape: Sequence[int], *, use_scale: bool = True, use_bias: bool = True) -> LayerCounts:
    """Counts of batch normalisation: a scale and an offset for each channel, one multiply-add for each entry.

    The running mean and variance are not trained, and so are not parameters. The multiply-adds are those of inference,
    in which the layer is ``x * a + b``; folded into a convolution it has none.

    Args:
        input_shape: ``(*batch, *spatial, channels)``.
        use_scale: whether there is a scale.
        use_bias: whether there is an offset.

    Raises:
        ShapeError: an input without axes.

    Source: Ioffe and Szegedy (2015), "Batch normalization", algorithm 2.

    >>> batch_norm_counts((56, 56, 64))
    LayerCounts(output_shape=(56, 56, 64), parameters=128, macs=200704)
    """
    shape = _input(input_shape)
    return LayerCounts(output_shape=shape, parameters=shape[-1] * (use_scale + use_bias), macs=prod(shape))


def _geometry(
    input_shape: Sequence[int],
    features: int,
    kernel_size: Sequence[int],
    *,
    feature_group_count: int,
    strides: IntPerAxis,
    padding: Padding,
    input_dilation: IntPerAxis,
    kernel_dilation: IntPerAxis,
) -> ConvGeometry:
    """The convolution that reads all channels of the input."""
    window = _window(kernel_size, input_shape)
    features = as_int(features, name="features")
    kernel = conv_kernel_shape(input_shape[-1], features, window, feature_group_count=feature_group_count)
    return conv_geometry(
        input_shape,
        kernel,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )


def _window(kernel_size: Sequence[int], input_shape: Sequence[int]) -> Sizes:
    """The kernel's window, for an input that has channels."""
    _input(input_shape)
    return window_per_axis(kernel_size, name="kernel_size")


def _input(input_shape: Sequence[int]) -> Sizes:
    """The shape of an input, whose last axis is its channels."""
    if isinstance(input_shape, int) or not len(input_shape):
        raise ShapeError(f"input_shape={input_shape!r} has no axis of channels. Write it as (*spatial, channels).")
    return tuple(as_int(size, name="input_shape") for size in input_shape)
