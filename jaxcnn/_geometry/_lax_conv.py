"""A call of ``lax.conv_general_dilated`` as an operation of a ``ConvGeometry``.

The operation is a convolution or a kernel gradient: JAX expresses the kernel gradient as a convolution whose window is
the whole cotangent. Recognising it makes the algorithms for kernel gradients available.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from jaxcnn._axes import Sizes
from jaxcnn._geometry._conv import ConvGeometry
from jaxcnn._geometry._padding import Pads


class Arrangement(NamedTuple):
    """The arrangement of an operand: reshape to ``split``, transpose by ``permutation``, reshape to ``shape``.

    An axis of ``groups * n`` entries whose groups belong to another axis is split before and merged after.
    """

    split: Sizes
    permutation: Sizes
    shape: Sizes


class LaxConv(NamedTuple):
    """The operation, its geometry, and the arrangement of operands and result."""

    kernel_grad: bool
    geometry: ConvGeometry
    lhs: Arrangement
    rhs: Arrangement
    out: Arrangement


def read_lax_conv(lhs: Sizes, rhs: Sizes, out: Sizes, **params: Any) -> LaxConv:
    """Reads a call whose operands and result have these shapes.

    It is a kernel gradient if the window has more positions than the result, or if ``batch_group_count`` is above 1,
    which only the transposition rule of JAX produces.

    Args:
        lhs: shape of the first operand.
        rhs: shape of the second.
        out: shape of the result.
        **params: of the equation, as ``jax.lax.conv_general_dilated`` names them.
    """
    window = params["dimension_numbers"].rhs_spec[2:]
    positions = params["dimension_numbers"].out_spec[2:]
    taps, places = prod(rhs[axis] for axis in window), prod(out[axis] for axis in positions)
    if params["batch_group_count"] > 1 or taps > places:
        return _as_kernel_grad(lhs, rhs, out, **params)
    return _as_forward(lhs, rhs, out, **params)


def _as_forward(lhs: Sizes, rhs: Sizes, out: Sizes, *, dimension_numbers: Any, **params: Any) -> LaxConv:
    x_batch, x_channel, *x_axes = dimension_numbers.lhs_spec
    k_out, k_in, *k_axes = dimension_numbers.rhs_spec
    y_batch, y_channel, *y_axes = dimension_numbers.out_spec
    geometry = ConvGeometry(
        batch_shape=(lhs[x_batch],),
        sizes=_at(lhs, x_axes),
        in_channels=lhs[x_channel],
        window=_at(rhs, k_axes),
        out_channels=rhs[k_out],
        strides=tuple(params["window_strides"]),
        pads=_pads(params["padding"]),
        input_dilation=tuple(params["lhs_dilation"]),
        kernel_dilation=tuple(params["rhs_dilation"]),
        groups=params["feature_group_count"],
        out_sizes=_at(out, y_axes),
    )
    return LaxConv(
        False,
        geometry,
        _ordered(lhs, (x_batch, *x_axes, x_channel)),
        _ordered(rhs, (*k_axes, k_in, k_out)),
        _ordered(geometry.out_shape, _inverse((y_batch, *y_axes, y_channel))),
    )


def _as_kernel_grad(lhs: Sizes, rhs: Sizes, out: Sizes, *, dimension_numbers: Any, **params: Any) -> LaxConv:
    """The second operand is the cotangent; strides and dilation of the window are exchanged.

    With feature groups, the first operand's feature axis is ``(groups, n)``: groups of channels, each with a batch of
    ``n``. With batch groups, the groups are already in its batch axis.
    """
    x_channel, x_batch, *x_axes = dimension_numbers.lhs_spec
    g_channel, g_batch, *g_axes = dimension_numbers.rhs_spec
    dk_in, dk_out, *dk_axes = dimension_numbers.out_spec
    inner, outer = params["feature_group_count"], params["batch_group_count"]
    batch = lhs[x_batch] // inner
    geometry = ConvGeometry(
        batch_shape=(batch,),
        sizes=_at(lhs, x_axes),
        in_channels=lhs[x_channel] * inner,
        window=_at(out, dk_axes),
        out_channels=rhs[g_channel],
        strides=tuple(params["rhs_dilation"]),
        pads=_pads(params["padding"]),
        input_dilation=tuple(params["lhs_dilation"]),
        kernel_dilation=tuple(params["window_strides"]),
        groups=inner * outer,
        out_sizes=_at(rhs, g_axes),
    )
    split = (*lhs[:x_batch], inner, batch, *lhs[x_batch + 1 :])

    def moved(axis: int) -> int:
        return axis + (axis > x_batch)

    order = (x_batch + 1, *map(moved, x_axes), x_batch, moved(x_channel))
    return LaxConv(
        True,
        geometry,
        Arrangement(split, order, geometry.x_shape),
        _ordered(rhs, (g_batch, *g_axes, g_channel)),
        _ordered(geometry.kernel_shape, _inverse((*dk_axes, dk_in, dk_out))),
    )


def _ordered(shape: Sizes, permutation: Sizes) -> Arrangement:
    return Arrangement(shape, permutation, _at(shape, permutation))


def _inverse(permutation: Sizes) -> Sizes:
    return tuple(permutation.index(axis) for axis in range(len(permutation)))


def _at(shape: Sizes, axes: Sequence[int]) -> Sizes:
    return tuple(shape[axis] for axis in axes)


def _pads(padding: Any) -> Pads:
    return tuple((before, after) for before, after in padding)
