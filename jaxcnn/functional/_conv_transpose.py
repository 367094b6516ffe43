"""Transposed convolution: the adjoint of ``conv``, in any number of dimensions."""

from typing import Any

import jax

from jaxcnn._arrays import as_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import Padding, check_bias, conv_transpose_geometry, torch_layout_warning
from jaxcnn._hints import warn_user
from jaxcnn.functional._conv import add_bias, flip_window
from jaxcnn.functional._dtypes import operands
from jaxcnn.functional.lowering import dispatch


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    *,
    bias: jax.Array | None = None,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    output_padding: IntPerAxis = 0,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    flip_kernel: bool = False,
    algorithm: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """Spreads each entry of ``x`` over the output, weighted by the kernel: the exact adjoint of ``conv``.

    ``y[strides * o + kernel_dilation * k - before, i] += sum over c of x[o, c] * kernel[k, i, c]``. So for every
    ``u`` of the output's shape ``<conv(u, kernel), x> == <u, conv_transpose(x, kernel)>`` with the same options on
    both sides: what is called output here is the input there, and ``kernel`` is one and the same array.

    Args:
        x: ``(*batch, *spatial, in_channels)``.
        kernel: ``(*window, out_channels // feature_group_count, in_channels)``.
        bias: one number per output channel.
        strides: distance between the places of neighbouring entries of ``x`` in the output.
        padding: what that ``conv`` pads with, zeros, so it is cut off here; negative counts add zeros. For the
            adjoint of another ``padding_mode`` use ``conv_input_grad``.
        output_padding: positions more at the end of each axis, smaller than the stride or the dilation. Where that
            ``conv`` leaves over some of its input, it says how much: ``shapes.conv_transpose_output_padding``.
        kernel_dilation: distance between taps of the kernel.
        feature_group_count: number of groups of channels.
        flip_kernel: the adjoint of the mathematical convolution.
        algorithm: ``"auto"`` or a name that ``conv_algorithms()`` lists.
        precision: as in ``jax.lax.conv_general_dilated``.
        preferred_element_type: as in ``conv``.

    Returns:
        ``(*batch, *out_spatial, out_channels)``, of ``(n - 1)*s + d*(k - 1) + 1 - before - after + output_padding``
        positions per axis, or ``n * s`` with ``"SAME"`` and ``"SAME_LOWER"``, which refuse ``output_padding``.

    Raises:
        ShapeError: shapes that do not fit, a misspelt option, an empty result, or a forced ``algorithm`` that does
            not serve the configuration.
        TypeError: an option that is not an integer where one is wanted.

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), chapter 4, relationship 14;
    Zeiler et al., Deconvolutional networks (2010).

    >>> import jax.numpy as jnp
    >>> conv_transpose(jnp.array([[1.0], [0], [10]]), jnp.ones((3, 1, 1)), strides=2, padding="VALID")[:, 0]
    Array([ 1.,  1.,  1.,  0., 10., 10., 10.], dtype=float32)
    """
    x, kernel, bias = as_arrays(x=x, kernel=kernel, bias=bias)
    geometry = conv_transpose_geometry(
        x.shape,
        kernel.shape,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    warn_user(torch_layout_warning(x.shape, kernel.shape, feature_group_count=feature_group_count, transposed=True))
    if bias is not None:
        check_bias(bias.shape, geometry.in_channels)
    x, kernel, accumulate, dtype = operands(x, kernel, bias, preferred_element_type)
    y = dispatch.input_grad(
        x,
        flip_window(kernel) if flip_kernel else kernel,
        geometry,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=accumulate,
    ).astype(dtype)
    return y if bias is None else add_bias(y, bias)
