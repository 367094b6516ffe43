"""Tiled convolution: a few filters that alternate over the output positions."""

import dataclasses
from itertools import product
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_arrays, as_optional_arrays
from jaxcnn._axes import IntPerAxis, Sizes
from jaxcnn._errors import check_choice
from jaxcnn._geometry import (
    PADDING_MODES,
    ConvGeometry,
    Padding,
    PaddingMode,
    TilePlan,
    check_unshared_bias,
    plan_tiles,
    unshared_geometry,
)
from jaxcnn.functional._dtypes import operands
from jaxcnn.functional._engine import ConvPlan, compute_conv
from jaxcnn.functional._local_conv import add_unshared_bias, flip_unshared, multiply_windows
from jaxcnn.functional._padding import dilate_and_pad

# Up to this number each tile is a strided convolution, which costs what a convolution costs. With more, one batched
# matrix product of the windows is faster, forward and backward.
MAXIMUM_CONVOLUTIONS = 16


def tiled_conv(
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
    """Convolution with alternating filters: output position ``o`` uses filter ``o % tiles`` on each axis.

    ``y[o, c] = bias[c] + sum over k, i of x[strides * o + kernel_dilation * k - before, i] * kernel[o % t, k, i, c]``.
    One tile is ``conv``; as many tiles as outputs is ``local_conv``. Neighbouring positions have different filters, as
    in a locally connected layer, but there are only as many filters as tiles. The number of operations is that of
    ``conv``.

    Args:
        x: ``(*batch, *spatial, channels)``, any number of batch axes.
        kernel: ``(*tiles, *window, channels // feature_group_count, out_channels)``, six axes for images.
        bias: one number per channel ``(out_channels,)``, or per tile ``(*tiles, out_channels)``.
        strides: as in ``conv``, like ``padding``, ``padding_mode``, ``input_dilation``, ``kernel_dilation``,
            ``feature_group_count``, ``flip_kernel``, ``precision`` and ``preferred_element_type``.

    Returns:
        ``(*batch, *out_spatial, out_channels)``.

    Raises:
        ShapeError: shapes that do not fit, or a window larger than the padded input.
        ValueError: an option that does not exist.
        TypeError: an option that must be an integer is not.

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), equation 9.10; Le, Ngiam, Chen, Chia, Koh and Ng
    (2010), "Tiled convolutional neural networks".

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([1.0, 2, 3, 4, 5])[:, None]
    >>> kernel = jnp.array([1.0, 10])[:, None, None, None]  # two filters of one tap: keep, times ten
    >>> F.tiled_conv(x, kernel)[:, 0]
    Array([ 1., 20.,  3., 40.,  5.], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    (bias,) = as_optional_arrays(bias=bias)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    lead, geometry = unshared_geometry(
        x.shape,
        kernel.shape,
        leading="tiles",
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    if bias is not None:
        check_unshared_bias(bias.shape, lead, geometry.out_channels, leading="tiles")
    x, kernel, accumulate, dtype = operands(x, kernel, bias, preferred_element_type)
    x = dilate_and_pad(x, geometry.pads, input_dilation=geometry.input_dilation, padding_mode=padding_mode)
    y = _convolve_tiles(
        x,
        flip_unshared(kernel) if flip_kernel else kernel,
        geometry.padded(),
        precision=precision,
        preferred_element_type=accumulate,
    ).astype(dtype)
    return y if bias is None else add_unshared_bias(y, _repeat_bias(bias, geometry.out_sizes))


def _convolve_tiles(
    x: jax.Array, kernel: jax.Array, geometry: ConvGeometry, *, precision: Any, preferred_element_type: Any
) -> jax.Array:
    """The outputs of a padded input, by the faster of two algorithms."""
    ndim, batch = geometry.ndim, len(geometry.batch_shape)
    plan = plan_tiles(kernel.shape[:ndim], geometry)
    x = dilate_and_pad(x, tuple((0, count) for count in plan.missing))
    kernel = lax.slice(kernel, [0] * kernel.ndim, [*plan.tiles, *kernel.shape[ndim:]])
    if prod(plan.tiles) <= MAXIMUM_CONVOLUTIONS:
        y = _convolve_each(x, kernel, plan, geometry, precision, preferred_element_type)
    else:
        y = multiply_windows(
            x,
            kernel,
            plan,
            groups=geometry.groups,
            precision=precision,
            preferred_element_type=preferred_element_type,
        )
    return lax.slice(y, [0] * y.ndim, [*y.shape[:batch], *geometry.out_sizes, y.shape[-1]])


def _convolve_each(
    x: jax.Array,
    kernel: jax.Array,
    plan: TilePlan,
    geometry: ConvGeometry,
    precision: Any,
    preferred_element_type: Any,
) -> jax.Array:
    """One convolution for each tile, of stride ``strides * tiles``, and their outputs interleaved."""
    batch = len(geometry.batch_shape)
    steps = tuple(s * t for s, t in zip(geometry.strides, plan.tiles, strict=True))
    sizes = tuple((n - 1) * s + span for n, s, span in zip(plan.blocks, steps, geometry.reaches, strict=True))
    conv_plan = ConvPlan(
        geometry=dataclasses.replace(geometry, sizes=sizes, strides=steps, out_sizes=plan.blocks),
        dtype=x.dtype,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    parts = []
    for tile in product(*map(range, plan.tiles)):
        starts = [t * s for t, s in zip(tile, geometry.strides, strict=True)]
        ends = [start + size for start, size in zip(starts, sizes, strict=True)]
        parts.append(
            compute_conv(
                lax.slice(x, [0] * batch + starts + [0], [*x.shape[:batch], *ends, x.shape[-1]]),
                kernel[tile],
                conv_plan,
            )
        )
    return _interleave(parts, plan.tiles, batch)


def _interleave(parts: list[jax.Array], tiles: Sizes, batch: int) -> jax.Array:
    """Outputs of the tiles, in the order of the tiles, interleaved to one array."""
    for axis in reversed(range(len(tiles))):
        at, count = batch + axis, tiles[axis]
        if count > 1:
            rows = [jnp.stack(parts[i : i + count], axis=at + 1) for i in range(0, len(parts), count)]
            parts = [row.reshape(*row.shape[:at], row.shape[at] * count, *row.shape[at + 2 :]) for row in rows]
    return parts[0]


def _repeat_bias(bias: jax.Array, out_sizes: Sizes) -> jax.Array:
    """A bias per tile as one per position; a bias per channel is not changed."""
    if bias.ndim == 1:
        return bias
    for axis, size in enumerate(out_sizes):
        tiles = bias.shape[axis]
        count = (size - 1) // tiles + 1
        repeated = lax.broadcast_in_dim(
            bias,
            (*bias.shape[:axis], count, *bias.shape[axis:]),
            [at + (at >= axis) for at in range(bias.ndim)],
        )
        bias = repeated.reshape(*bias.shape[:axis], count * tiles, *bias.shape[axis + 1 :])
        bias = lax.slice_in_dim(bias, 0, size, axis=axis)
    return bias
