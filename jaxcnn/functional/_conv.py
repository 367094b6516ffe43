"""Convolution in any number of dimensions, channels last."""

from typing import Any

import jax
from jax import lax

from jaxcnn._arrays import as_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import check_choice
from jaxcnn._geometry import PADDING_MODES, ConvGeometry, Padding, check_bias, conv_geometry, torch_layout_warning
from jaxcnn._hints import warn_user
from jaxcnn.functional._dtypes import operands
from jaxcnn.functional._padding import dilate_and_pad
from jaxcnn.functional.lowering import dispatch


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    bias: jax.Array | None = None,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    padding_mode: str = "zeros",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    flip_kernel: bool = False,
    algorithm: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """Slides a kernel over the spatial axes of ``x`` and sums the products: cross-correlation, or true convolution.

    ``y[o, c] = bias[c] + sum over k, i of x[strides * o + kernel_dilation * k - before, i] * kernel[k, i, c]``, where
    positions outside ``x`` hold what ``padding_mode`` says. With ``flip_kernel=True`` the window is read backwards,
    which is the mathematical convolution. Between the entries of ``x`` stand ``input_dilation - 1`` zeros, and
    ``padding`` counts from the dilated input.

    Args:
        x: ``(*batch, *spatial, channels)``, any number of batch axes.
        kernel: ``(*window, channels // feature_group_count, out_channels)``; its rank says how many axes are spatial.
        bias: one number per output channel.
        strides: step of the window, an integer or one per spatial axis, at least 1.
        padding: a word of the grammar in ``jaxcnn._geometry``, or counts; negative counts crop.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.
        input_dilation: distance between entries of ``x``.
        kernel_dilation: distance between taps of the kernel.
        feature_group_count: output channels of group ``g`` read only the input channels of group ``g``.
        flip_kernel: reads the window backwards.
        algorithm: ``"auto"``, or a name that ``conv_algorithms()`` lists. Derivatives take the named formulation too
            where it serves them, and whatever ``"auto"`` takes where it does not; so do programs that XLA splits over
            devices, if the formulation cannot be split.
        precision: as in ``jax.lax.conv_general_dilated``.
        preferred_element_type: dtype to sum in and to return. Without it mixed dtypes promote, and integers of fewer
            than 32 bits are summed and returned as int32.

    Returns:
        ``(*batch, *out_spatial, out_channels)``, ``floor((n + before + after - d*(k-1) - 1) / s) + 1`` positions
        per axis.

    Raises:
        ShapeError: shapes that do not fit, a misspelt option, a window larger than the padded input, or a forced
            ``algorithm`` that does not serve the configuration.
        TypeError: an option that is not an integer where one is wanted.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equations 9.4, 9.6 and 9.7; Dumoulin and Visin,
    A guide to convolution arithmetic for deep learning (2016), relationships 6 and 15.

    >>> import jax.numpy as jnp
    >>> step = jnp.array([0.0, 0, 0, 1, 1, 1])[:, None]
    >>> difference = jnp.array([-1.0, 1])[:, None, None]
    >>> conv(step, difference, padding="VALID")[:, 0]  # the edge is where the difference is not zero
    Array([0., 0., 1., 0., 0.], dtype=float32)
    """
    return compute_conv(
        x,
        kernel,
        bias,
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


def compute_conv(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    *,
    strides: IntPerAxis,
    padding: Padding,
    padding_mode: str,
    input_dilation: IntPerAxis,
    kernel_dilation: IntPerAxis,
    feature_group_count: int,
    flip_kernel: bool,
    algorithm: str,
    precision: Any,
    preferred_element_type: Any,
) -> jax.Array:
    """``conv`` under any name, for the functions that are a ``conv`` with some options fixed."""
    x, kernel, bias = as_arrays(x=x, kernel=kernel, bias=bias)
    geometry = conv_geometry(
        x.shape,
        kernel.shape,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    warn_user(torch_layout_warning(x.shape, kernel.shape, feature_group_count=feature_group_count, transposed=False))
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    if bias is not None:
        check_bias(bias.shape, geometry.out_channels)
    x, kernel, accumulate, dtype = operands(x, kernel, bias, preferred_element_type)
    x, geometry = apply_padding_mode(x, geometry, padding_mode)
    y = dispatch.forward(
        x,
        flip_window(kernel) if flip_kernel else kernel,
        geometry,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=accumulate,
    ).astype(dtype)
    return y if bias is None else add_bias(y, bias)


def apply_padding_mode(x: jax.Array, geometry: ConvGeometry, padding_mode: str) -> tuple[jax.Array, ConvGeometry]:
    """Pads with anything but zeros beforehand; zeros are left to the formulation."""
    if padding_mode == "zeros":
        return x, geometry
    x = dilate_and_pad(x, geometry.pads, input_dilation=geometry.input_dilation, padding_mode=padding_mode)
    return x, geometry.padded()


def flip_window(kernel: jax.Array) -> jax.Array:
    """The kernel with its window read backwards."""
    return lax.rev(kernel, range(kernel.ndim - 2))


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds one number per channel, in the dtype of ``y``."""
    return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
