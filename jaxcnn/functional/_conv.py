"""Convolution in any number of dimensions, channels last."""

import jax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_arrays, as_optional_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import ConvAlgorithm, Padding, PaddingMode, check_bias, torch_layout_warning
from jaxcnn._hints import warn_user
from jaxcnn.functional._engine import compute_conv, plan_conv


def conv(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    padding_mode: PaddingMode = "zeros",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    flip_kernel: bool = False,
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """Slides a kernel over the spatial axes of ``x`` and sums the products: cross-correlation, or true convolution.

    ``y[o, c] = bias[c] + sum over k, i of x[strides * o + kernel_dilation * k - before, i] * kernel[k, i, c]``, where
    ``padding_mode`` defines the values outside ``x``. With ``flip_kernel=True`` the window is reversed, which gives the
    mathematical convolution. ``input_dilation - 1`` zeros are put between the entries of ``x``, and ``padding`` is
    relative to the dilated input.

    Args:
        x: ``(*batch, *spatial, channels)``, any number of batch axes.
        kernel: ``(*window, channels // feature_group_count, out_channels)``, with ``kernel.ndim - 2`` spatial axes.
        bias: a number per output channel.
        strides: step of the window, an integer or one per spatial axis, at least 1.
        padding: ``"SAME"``, ``"SAME_LOWER"``, ``"VALID"``, ``"FULL"`` or ``"CAUSAL"``, an integer or one per axis,
            or one ``(before, after)`` per axis; negative counts crop.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.
        input_dilation: distance between entries of ``x``.
        kernel_dilation: distance between taps of the kernel.
        feature_group_count: output channels of group ``g`` read only the input channels of group ``g``.
        flip_kernel: whether to reverse the window.
        algorithm: ``"auto"``, or one of ``conv_algorithms()``. A derivative that the named algorithm does not support
            uses ``"auto"``, and so does a program that XLA partitions over devices, if the algorithm prevents that.
        precision: as in ``jax.lax.conv_general_dilated``.
        preferred_element_type: dtype to sum in and to return. Without it mixed dtypes promote, and integers of fewer
            than 32 bits are summed and returned as int32.

    Returns:
        ``(*batch, *out_spatial, out_channels)``, ``floor((n + before + after - d*(k-1) - 1) / s) + 1`` positions
        per axis.

    Raises:
        ShapeError: shapes that do not fit, or a window larger than the padded input.
        ValueError: an option that does not exist, or an ``algorithm`` that does not support the configuration.
        TypeError: an option that must be an integer is not.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equations 9.4, 9.6 and 9.7; Dumoulin and Visin,
    A guide to convolution arithmetic for deep learning (2016), relationships 6 and 15.

    >>> import jax.numpy as jnp
    >>> step = jnp.array([0.0, 0, 0, 1, 1, 1])[:, None]
    >>> difference = jnp.array([-1.0, 1])[:, None, None]
    >>> conv(step, difference, padding="VALID")[:, 0]  # the edge is where the difference is not zero
    Array([0., 0., 1., 0., 0.], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    (bias,) = as_optional_arrays(bias=bias)
    plan = plan_conv(
        x.shape,
        kernel.shape,
        (x, kernel, bias),
        strides=strides,
        padding=padding,
        padding_mode=padding_mode,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
        flip_kernel=flip_kernel,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    warn_user(torch_layout_warning(x.shape, kernel.shape, feature_group_count=feature_group_count, transposed=False))
    if bias is not None:
        check_bias(bias.shape, plan.geometry.out_channels)
    y = compute_conv(x, kernel, plan)
    return y if bias is None else add_bias(y, bias)


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds a number per channel, in the dtype of ``y``."""
    return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
