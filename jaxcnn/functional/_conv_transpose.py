"""Transposed convolution: the adjoint of ``conv``, in any number of dimensions."""

import jax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_arrays, as_optional_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import ConvAlgorithm, Padding, check_bias, conv_transpose_geometry, torch_layout_warning
from jaxcnn._hints import warn_user
from jaxcnn.functional._conv import add_bias
from jaxcnn.functional._dtypes import bilinear_dtypes
from jaxcnn.functional._engine import ConvPlan, compute_input_grad


def conv_transpose(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    output_padding: IntPerAxis = 0,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    flip_kernel: bool = False,
    algorithm: ConvAlgorithm = "auto",
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """Spreads each entry of ``x`` over the output, weighted by the kernel: the exact adjoint of ``conv``.

    ``y[strides * o + kernel_dilation * k - before, i] += sum over c of x[o, c] * kernel[k, i, c]``. So for every
    ``u`` of the output's shape ``<conv(u, kernel), x> == <u, conv_transpose(x, kernel)>`` with the same options on
    both sides: the output here is the input there, and ``kernel`` is the same array.

    Args:
        x: ``(*batch, *spatial, in_channels)``.
        kernel: ``(*window, out_channels // feature_group_count, in_channels)``.
        bias: a number per output channel.
        strides: distance in the output between neighbouring entries of ``x``.
        padding: of that ``conv``, with zeros, so it is removed here; negative counts add zeros. For the adjoint of
            another ``padding_mode`` use ``conv_input_grad``.
        output_padding: additional positions at the end of each axis, fewer than the stride or the dilation: the
            positions at the end of the input that no window of that ``conv`` reads.
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
        ShapeError: shapes that do not fit, or an empty result.
        ValueError: an option that does not exist, or an ``algorithm`` that does not support the configuration.
        TypeError: an option that must be an integer is not.

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), chapter 4, relationship 14;
    Zeiler et al., Deconvolutional networks (2010).

    >>> import jax.numpy as jnp
    >>> conv_transpose(jnp.array([[1.0], [0], [10]]), jnp.ones((3, 1, 1)), strides=2, padding="VALID")[:, 0]
    Array([ 1.,  1.,  1.,  0., 10., 10., 10.], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    (bias,) = as_optional_arrays(bias=bias)
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
    plan = ConvPlan(
        geometry=geometry,
        flip_kernel=flip_kernel,
        algorithm=algorithm,
        precision=precision,
        **bilinear_dtypes(x, kernel, bias, preferred_element_type)._asdict(),
    )
    y = compute_input_grad(x, kernel, plan)
    return y if bias is None else add_bias(y, bias)
