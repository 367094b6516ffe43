"""Convolutions that mix space and channels one after the other: depthwise, pointwise, and the two in a row."""

import jax
from jax import lax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_arrays, as_optional_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import (
    ConvAlgorithm,
    Padding,
    PaddingMode,
    check_bias,
    check_depthwise,
    check_pointwise,
    check_separable,
)
from jaxcnn.functional._conv import add_bias, conv
from jaxcnn.functional._dtypes import operands


def depthwise_conv(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    padding_mode: PaddingMode = "zeros",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    flip_kernel: bool = False,
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """Convolves each channel separately: ``conv`` with a group for each channel.

    ``y[o, c * multiplier + j] = sum over k of x[strides * o + kernel_dilation * k - before, c] *
    kernel[k, 0, c * multiplier + j]``.

    Args:
        x: ``(*batch, *spatial, channels)``.
        kernel: ``(*window, 1, channels * multiplier)``.
        bias: a number per output channel.
        strides: as in ``conv``, like ``padding``, ``padding_mode``, ``input_dilation``, ``kernel_dilation``,
            ``flip_kernel``, ``algorithm``, ``precision`` and ``preferred_element_type``.

    Returns:
        ``(*batch, *out_spatial, channels * multiplier)``.

    Raises:
        ShapeError: a kernel of another shape, and shapes that ``conv`` refuses.
        ValueError: as ``conv``.
        TypeError: an option that must be an integer is not.

    Source: Sifre, Rigid-motion scattering for image classification (2014), section 6.2; Chollet, Xception (2017).

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 10], [2, 20], [4, 40]])
    >>> difference_and_sum = jnp.array([[[-1.0, 1]], [[1.0, 1]]])  # (2, 1, 2): one window per channel
    >>> depthwise_conv(x, difference_and_sum, padding="VALID")
    Array([[ 1., 30.],
           [ 2., 60.]], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    check_depthwise(x.shape, kernel.shape)
    return conv(
        x,
        kernel,
        bias=bias,
        strides=strides,
        padding=padding,
        padding_mode=padding_mode,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=x.shape[-1],
        flip_kernel=flip_kernel,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def pointwise_conv(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """Mixes the channels of every position by one matrix, which is a convolution whose window is one position.

    ``y[..., c] = bias[c] + sum over i of x[..., i] * kernel[i, c]``.

    Args:
        x: ``(..., in_channels)``, any number of axes before the channels.
        kernel: ``(in_channels, out_channels)``.
        bias: a number per output channel.
        precision: as in ``jax.lax.dot_general``.
        preferred_element_type: as in ``conv``.

    Returns:
        ``(..., out_channels)``.

    Raises:
        ShapeError: a kernel that is not such a matrix, or a bias of another shape.

    Source: Lin, Chen and Yan, Network in network (2014), section 3.1.

    >>> import jax.numpy as jnp
    >>> rgb = jnp.array([[[1.0, 0, 0], [1, 1, 1]]])
    >>> pointwise_conv(rgb, jnp.array([[0.299], [0.587], [0.114]]))[..., 0]  # the luma of red and of white
    Array([[0.299, 1.   ]], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    (bias,) = as_optional_arrays(bias=bias)
    check_pointwise(x.shape, kernel.shape)
    if bias is not None:
        check_bias(bias.shape, kernel.shape[-1])
    x, kernel, accumulate, dtype = operands(x, kernel, bias, preferred_element_type)
    y = lax.dot_general(
        x,
        kernel,
        (((x.ndim - 1,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=accumulate,
    ).astype(dtype)
    return y if bias is None else add_bias(y, bias)


def separable_conv(
    x: ArrayLike,
    depthwise_kernel: ArrayLike,
    pointwise_kernel: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    padding_mode: PaddingMode = "zeros",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    flip_kernel: bool = False,
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """A depthwise convolution, then a pointwise one: a kernel of rank one between space and channels.

    Equals ``conv`` with the kernel ``depthwise[k, 0, i * m + j] * pointwise[i * m + j, c]`` summed over ``j``, at
    ``window + out_channels`` products per position and channel instead of ``window * out_channels``.

    Args:
        x: ``(*batch, *spatial, channels)``.
        depthwise_kernel: ``(*window, 1, channels * multiplier)``.
        pointwise_kernel: ``(1, ..., 1, channels * multiplier, out_channels)``, a 1 for each window axis.
        bias: a number per output channel.
        strides: of the depthwise part, as in ``conv``, and so are all options after it.
        padding: as in ``conv``, like ``padding_mode``, ``input_dilation``, ``kernel_dilation`` and ``flip_kernel``.
        algorithm: as in ``conv``, of the depthwise part.
        precision: as in ``conv``, like ``preferred_element_type``.

    Returns:
        ``(*batch, *out_spatial, out_channels)``.

    Raises:
        ShapeError: kernels of other shapes, and shapes that ``conv`` refuses.
        ValueError: as ``conv``.
        TypeError: an option that must be an integer is not.

    Source: Chollet, Xception: deep learning with depthwise separable convolutions (2017), section 3.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(8.0).reshape(4, 2)
    >>> separable_conv(x, jnp.ones((2, 1, 2)), jnp.array([[[1.0], [-1.0]]]), padding="VALID")[:, 0]
    Array([-2., -2., -2.], dtype=float32)
    """
    x, depthwise_kernel, pointwise_kernel = as_arrays(
        x=x, depthwise_kernel=depthwise_kernel, pointwise_kernel=pointwise_kernel
    )
    (bias,) = as_optional_arrays(bias=bias)
    check_depthwise(x.shape, depthwise_kernel.shape)
    check_separable(depthwise_kernel.shape, pointwise_kernel.shape)
    if bias is not None:
        check_bias(bias.shape, pointwise_kernel.shape[-1])
    between = conv(
        x,
        depthwise_kernel,
        strides=strides,
        padding=padding,
        padding_mode=padding_mode,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=x.shape[-1],
        flip_kernel=flip_kernel,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    matrix = lax.reshape(pointwise_kernel, pointwise_kernel.shape[-2:])
    return pointwise_conv(
        between, matrix, bias=bias, precision=precision, preferred_element_type=preferred_element_type
    )
