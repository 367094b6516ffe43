"""The two backward operations of ``conv`` as functions in their own right: the three close under differentiation."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxcnn._arrays import as_arrays
from jaxcnn._axes import IntPerAxis, whole_shape, window_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import PADDING_MODES, ConvGeometry, Padding, conv_geometry, conv_kernel_shape
from jaxcnn.functional._conv import apply_padding_mode, flip_window
from jaxcnn.functional._dtypes import operands
from jaxcnn.functional._padding import dilate_and_pad_adjoint
from jaxcnn.functional.lowering import dispatch


def conv_input_grad(
    g: jax.Array,
    kernel: jax.Array,
    input_shape: Sequence[int],
    *,
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
    """The derivative of ``<conv(x, kernel, ...), g>`` by ``x``: the cotangent ``g`` carried back to the input.

    ``dx[n] = sum over o, k, c of g[o, c] * kernel[k, :, c]`` where ``strides * o + kernel_dilation * k - before`` is
    the place of ``n``; positions that padding copied from ``n`` count too. Linear in ``g`` and in ``kernel``, and
    independent of ``x``, of which only the shape is asked.

    Args:
        g: of the shape of ``conv``'s output.
        kernel: ``(*window, in_channels // feature_group_count, out_channels)``.
        input_shape: the whole shape of ``x``, which strides leave open.
        strides: as in ``conv``, and so are all options after it.
        padding: as in ``conv``.
        padding_mode: as in ``conv``.
        input_dilation: as in ``conv``.
        kernel_dilation: as in ``conv``.
        feature_group_count: as in ``conv``.
        flip_kernel: as in ``conv``.
        algorithm: as in ``conv``.
        precision: as in ``conv``.
        preferred_element_type: as in ``conv``.

    Returns:
        an array of ``input_shape``.

    Raises:
        ShapeError: whatever ``conv`` refuses, or a ``g`` that is not of the shape of its output.
        TypeError: an option that is not an integer where one is wanted.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.13 (the function h).

    >>> import jax.numpy as jnp
    >>> ones = jnp.ones((3, 1, 1))
    >>> conv_input_grad(jnp.ones((5, 1)), ones, (5, 1))[:, 0]  # how many windows see each position
    Array([2., 3., 3., 3., 2.], dtype=float32)
    """
    g, kernel = as_arrays(g=g, kernel=kernel)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    geometry = conv_geometry(
        whole_shape(input_shape),
        kernel.shape,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    _check_cotangent(g, geometry)
    g, kernel, accumulate, dtype = operands(g, kernel, None, preferred_element_type)
    inner = geometry if padding_mode == "zeros" else geometry.padded()
    dx = dispatch.input_grad(
        g,
        flip_window(kernel) if flip_kernel else kernel,
        inner,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=accumulate,
    ).astype(dtype)
    if padding_mode == "zeros":
        return dx
    return dilate_and_pad_adjoint(
        dx, geometry.sizes, geometry.pads, input_dilation=geometry.input_dilation, padding_mode=padding_mode
    )


def conv_kernel_grad(
    x: jax.Array,
    g: jax.Array,
    window_shape: Sequence[int],
    *,
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
    """The derivative of ``<conv(x, kernel, ...), g>`` by ``kernel``: what the weights are told by the cotangent ``g``.

    ``dk[k, i, c] = sum over batch and o of x[strides * o + kernel_dilation * k - before, i] * g[o, c]``. Linear in
    ``x`` and in ``g``, and independent of the kernel, of which only the window is asked.

    Under ``shard_map`` this is the sum over the local batch; sum over the mesh axis with ``jax.lax.psum``.

    Args:
        x: ``(*batch, *spatial, in_channels)``.
        g: of the shape of ``conv``'s output.
        window_shape: the kernel's window, one integer per spatial axis.
        strides: as in ``conv``, and so are all options after it.
        padding: as in ``conv``.
        padding_mode: as in ``conv``.
        input_dilation: as in ``conv``.
        kernel_dilation: as in ``conv``.
        feature_group_count: as in ``conv``.
        flip_kernel: as in ``conv``.
        algorithm: as in ``conv``.
        precision: as in ``conv``.
        preferred_element_type: as in ``conv``.

    Returns:
        ``(*window, in_channels // feature_group_count, out_channels)``.

    Raises:
        ShapeError: whatever ``conv`` refuses, or a ``g`` that is not of the shape of its output.
        TypeError: an option that is not an integer where one is wanted.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.11 (the function g).

    >>> import jax.numpy as jnp
    >>> conv_kernel_grad(jnp.array([[1.0], [2], [4]]), jnp.ones((3, 1)), (3,))[:, 0, 0]
    Array([3., 7., 6.], dtype=float32)
    """
    x, g = as_arrays(x=x, g=g)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    window = window_per_axis(window_shape)
    if x.ndim < len(window) + 1 or g.ndim != x.ndim:
        raise ShapeError(
            f"window_shape={window} wants x and g as (*batch, *spatial, channels) with {len(window)} "
            f"spatial axes and the same batch axes, but x.shape={x.shape} and g.shape={g.shape}."
        )
    geometry = conv_geometry(
        x.shape,
        conv_kernel_shape(x.shape[-1], g.shape[-1], window, feature_group_count=feature_group_count),
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    _check_cotangent(g, geometry)
    x, g, accumulate, dtype = operands(x, g, None, preferred_element_type)
    if accumulate is not None:
        x, g = x.astype(accumulate), g.astype(accumulate)
    x, geometry = apply_padding_mode(x, geometry, padding_mode)
    dk = dispatch.kernel_grad(x, g, geometry, algorithm=algorithm, precision=precision).astype(dtype)
    return flip_window(dk) if flip_kernel else dk


def _check_cotangent(g: jax.Array, geometry: ConvGeometry) -> None:
    if g.shape != geometry.out_shape:
        raise ShapeError(
            f"g wants the shape of the conv's output, {geometry.out_shape}, but has {g.shape} "
            f"(input {geometry.x_shape}, kernel {geometry.kernel_shape})."
        )
