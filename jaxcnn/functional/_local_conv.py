"""Unshared convolution: a separate filter for each output position."""

from typing import Any

import jax
from jax import lax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_arrays, as_optional_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import check_choice
from jaxcnn._geometry import (
    PADDING_MODES,
    Padding,
    PaddingMode,
    TilePlan,
    check_local_positions,
    check_unshared_bias,
    plan_tiles,
    unshared_geometry,
)
from jaxcnn.functional._dtypes import operands
from jaxcnn.functional._padding import dilate_and_pad
from jaxcnn.functional._patches import gather_windows


def local_conv(
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
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """Convolution without weight sharing: each output position has its own filter (a locally connected layer).

    ``y[o, c] = bias[o, c] + sum over k, i of x[strides * o + kernel_dilation * k - before, i] * kernel[o, k, i, c]``.
    With the same filter at every ``o`` it is ``conv`` with the same options. It and its gradients are computed as one
    small matrix product for each position; the matrix of all inputs by all outputs is never made.

    Args:
        x: ``(*batch, *spatial, channels)``, any number of batch axes.
        kernel: ``(*out_spatial, *window, channels // feature_group_count, out_channels)``, six axes for images.
        bias: one number per channel ``(out_channels,)``, or per position ``(*out_spatial, out_channels)``.
        strides: as in ``conv``, like ``padding``, ``padding_mode``, ``input_dilation``, ``kernel_dilation``,
            ``feature_group_count``, ``flip_kernel``, ``precision`` and ``preferred_element_type``.

    Returns:
        ``(*batch, *out_spatial, out_channels)``.

    Raises:
        ShapeError: a kernel made for another number of positions, shapes that do not fit, or a window
            larger than the padded input.
        ValueError: an option that does not exist.
        TypeError: an option that must be an integer is not.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.9; LeCun (1989), "Generalization and
    network design strategies".

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([1.0, 2, 3, 4])[:, None]
    >>> kernel = jnp.array([[1.0, 0], [0, 1], [1, 1]])[:, :, None, None]  # left, right, both
    >>> F.local_conv(x, kernel, padding="VALID")[:, 0]
    Array([1., 3., 7.], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    (bias,) = as_optional_arrays(bias=bias)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    lead, geometry = unshared_geometry(
        x.shape,
        kernel.shape,
        leading="out_spatial",
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    check_local_positions(lead, geometry)
    if bias is not None:
        check_unshared_bias(bias.shape, lead, geometry.out_channels, leading="out_spatial")
    x, kernel, accumulate, dtype = operands(x, kernel, bias, preferred_element_type)
    x = dilate_and_pad(x, geometry.pads, input_dilation=geometry.input_dilation, padding_mode=padding_mode)
    y = multiply_windows(
        x,
        flip_unshared(kernel) if flip_kernel else kernel,
        plan_tiles(lead, geometry.padded()),
        groups=geometry.groups,
        precision=precision,
        preferred_element_type=accumulate,
    ).astype(dtype)
    return y if bias is None else add_unshared_bias(y, bias)


def multiply_windows(
    x: jax.Array, kernel: jax.Array, plan: TilePlan, *, groups: int, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """Multiplies each window of ``x`` with the filter of its tile, all positions of one tile as one matrix product.

    ``x`` holds every window of ``plan``; ``kernel`` is ``(*tiles, *window, in // groups, out)``. The result has
    ``blocks * tiles`` positions. With one block this is the unshared convolution.
    """
    ndim, batch = plan.windows.ndim, x.ndim - plan.windows.ndim - 1
    windows = gather_windows(x, plan.windows)
    # One axis at a time here and below: a mesh with Explicit axes refuses a reshape that splits or merges several.
    for axis in reversed(range(batch, batch + ndim)):
        block_and_tile = plan.blocks[axis - batch], plan.tiles[axis - batch]
        windows = windows.reshape(*windows.shape[:axis], *block_and_tile, *windows.shape[axis + 1 :])
    if groups > 1:
        windows = windows.reshape(*windows.shape[:-1], groups, windows.shape[-1] // groups)
        kernel = kernel.reshape(*kernel.shape[:-1], groups, kernel.shape[-1] // groups)
    # windows: *batch, (block, tile) for each axis, *window, [group,] in.  kernel: *tiles, *window, in, [group,] out.
    grouped = (windows.ndim - 2,) if groups > 1 else ()
    tile_axes = tuple(range(batch + 1, batch + 2 * ndim, 2))
    window_axes = range(batch + 2 * ndim, batch + 3 * ndim)
    y = lax.dot_general(
        windows,
        kernel,
        (
            ((*window_axes, windows.ndim - 1), tuple(range(ndim, 2 * ndim + 1))),
            ((*tile_axes, *grouped), (*range(ndim), *(2 * ndim + 1 for _ in grouped))),
        ),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    # y: *tiles, [group,] *batch, *blocks, out
    first = ndim + len(grouped)
    blocks = range(first + batch, first + batch + ndim)
    pairs = [axis for block, tile in zip(blocks, range(ndim), strict=True) for axis in (block, tile)]
    y = lax.transpose(y, (*range(first, first + batch), *pairs, *range(ndim, first), y.ndim - 1))
    if groups > 1:
        y = y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1])
    for axis, positions in enumerate(plan.windows.positions, start=batch):
        y = y.reshape(*y.shape[:axis], positions, *y.shape[axis + 2 :])
    return y


def flip_unshared(kernel: jax.Array) -> jax.Array:
    """The kernel with every window reversed."""
    ndim = (kernel.ndim - 2) // 2
    return lax.rev(kernel, range(ndim, 2 * ndim))


def add_unshared_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds a number per channel or per position, in the dtype of ``y``."""
    return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - bias.ndim) + bias.shape)
