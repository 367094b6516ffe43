"""The two gradients of ``conv`` as functions: together with ``conv`` they are closed under differentiation."""

from collections.abc import Sequence

import jax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_arrays
from jaxcnn._axes import IntPerAxis, whole_shape, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import ConvAlgorithm, ConvGeometry, Padding, PaddingMode, conv_kernel_shape
from jaxcnn.functional._engine import compute_input_grad, compute_kernel_grad, plan_conv


def conv_input_grad(
    g: ArrayLike,
    kernel: ArrayLike,
    input_shape: Sequence[int],
    *,
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
    """The gradient of ``<conv(x, kernel, ...), g>`` with respect to ``x``, from the cotangent ``g`` of the output.

    ``dx[n] = sum over o, k, c of g[o, c] * kernel[k, :, c]`` over all ``o`` and ``k`` for which
    ``strides * o + kernel_dilation * k - before`` is the position of ``n``, or one that padding copied from ``n``.
    It is linear in ``g`` and in ``kernel``, and depends on ``x`` only by its shape.

    Args:
        g: of the shape of ``conv``'s output.
        kernel: ``(*window, in_channels // feature_group_count, out_channels)``.
        input_shape: the whole shape of ``x``, which does not follow from that of ``g`` if there are strides.
        strides: as in ``conv``, like ``padding``, ``padding_mode``, ``input_dilation``, ``kernel_dilation``,
            ``feature_group_count``, ``flip_kernel``, ``algorithm``, ``precision`` and ``preferred_element_type``.

    Returns:
        an array of ``input_shape``.

    Raises:
        ShapeError: shapes that ``conv`` refuses, or a ``g`` that does not have the shape of its output.
        ValueError: as ``conv``.
        TypeError: an option that must be an integer is not.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.13 (the function h).

    >>> import jax.numpy as jnp
    >>> ones = jnp.ones((3, 1, 1))
    >>> conv_input_grad(jnp.ones((5, 1)), ones, (5, 1))[:, 0]  # the number of windows that read each position
    Array([2., 3., 3., 3., 2.], dtype=float32)
    """
    g, kernel = as_arrays(g=g, kernel=kernel)
    plan = plan_conv(
        whole_shape(input_shape),
        kernel.shape,
        (g, kernel, None),
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
    _check_cotangent(g, plan.geometry)
    return compute_input_grad(g, kernel, plan)


def conv_kernel_grad(
    x: ArrayLike,
    g: ArrayLike,
    window_shape: Sequence[int],
    *,
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
    """The gradient of ``<conv(x, kernel, ...), g>`` with respect to ``kernel``, from the cotangent ``g`` of the output.

    ``dk[k, i, c] = sum over batch and o of x[strides * o + kernel_dilation * k - before, i] * g[o, c]``. It is
    linear in ``x`` and in ``g``, and depends on the kernel only by its window.

    Under ``shard_map`` this is the sum over the local batch; sum over the mesh axis with ``jax.lax.psum``.

    Args:
        x: ``(*batch, *spatial, in_channels)``.
        g: of the shape of ``conv``'s output.
        window_shape: the kernel's window, one integer per spatial axis.
        strides: as in ``conv``, like ``padding``, ``padding_mode``, ``input_dilation``, ``kernel_dilation``,
            ``feature_group_count``, ``flip_kernel``, ``algorithm``, ``precision`` and ``preferred_element_type``.

    Returns:
        ``(*window, in_channels // feature_group_count, out_channels)``.

    Raises:
        ShapeError: shapes that ``conv`` refuses, or a ``g`` that does not have the shape of its output.
        ValueError: as ``conv``.
        TypeError: an option that must be an integer is not.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.11 (the function g).

    >>> import jax.numpy as jnp
    >>> conv_kernel_grad(jnp.array([[1.0], [2], [4]]), jnp.ones((3, 1)), (3,))[:, 0, 0]
    Array([3., 7., 6.], dtype=float32)
    """
    x, g = as_arrays(x=x, g=g)
    window = window_per_axis(window_shape)
    if x.ndim < len(window) + 1 or g.ndim != x.ndim:
        raise ShapeError(
            f"window_shape={window} requires x and g as (*batch, *spatial, channels) with {len(window)} "
            f"spatial axes and the same batch axes, but x.shape={x.shape} and g.shape={g.shape}."
        )
    plan = plan_conv(
        x.shape,
        conv_kernel_shape(x.shape[-1], g.shape[-1], window, feature_group_count=feature_group_count),
        (x, g, None),
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
    _check_cotangent(g, plan.geometry)
    return compute_kernel_grad(x, g, plan)


def _check_cotangent(g: jax.Array, geometry: ConvGeometry) -> None:
    if g.shape != geometry.out_shape:
        raise ShapeError(
            f"g must have the shape of the conv's output, {geometry.out_shape}, but has {g.shape} "
            f"(input {geometry.x_shape}, kernel {geometry.kernel_shape})."
        )
