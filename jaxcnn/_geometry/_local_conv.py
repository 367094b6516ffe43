"""Sizes of convolutions whose kernel depends on the position: unshared, with one filter for each output, and tiled."""

import dataclasses
from collections.abc import Sequence

from jaxcnn._axes import IntPerAxis, Sizes, check_sizes, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry._conv import ConvGeometry, conv_geometry, conv_kernel_shape
from jaxcnn._geometry._padding import Padding
from jaxcnn._geometry._patches import PatchPlan
from jaxcnn._symbolic import is_symbolic, larger


def split_kernel_shape(kernel_shape: Sequence[int], *, leading: str) -> tuple[Sizes, Sizes]:
    """Splits ``(*leading, *window, in, out)`` into its leading axes and the kernel of one convolution.

    There are as many leading axes as window axes, so the rank of the array determines the number of spatial axes.

    Raises:
        ShapeError: the number of axes is odd, or under four.

    >>> split_kernel_shape((5, 5, 3, 3, 16, 32), leading="out_spatial")
    ((5, 5), (3, 3, 16, 32))
    """
    shape = tuple(kernel_shape)
    if len(shape) < 4 or len(shape) % 2:
        raise ShapeError(
            f"the kernel must have the shape (*{leading}, *window, in_channels // feature_group_count, out_channels): "
            f"4 axes for sequences, 6 for images, 8 for volumes. But kernel.shape={shape} has {len(shape)}."
        )
    ndim = (len(shape) - 2) // 2
    return shape[:ndim], shape[ndim:]


def unshared_geometry(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    leading: str,
    strides: IntPerAxis,
    padding: Padding,
    input_dilation: IntPerAxis,
    kernel_dilation: IntPerAxis,
    feature_group_count: int,
) -> tuple[Sizes, ConvGeometry]:
    """The leading axes of the kernel, and the geometry of the convolution with one of its filters.

    Raises:
        ShapeError: shapes or options that do not fit together, or a window larger than the padded input.
        TypeError: an option that is not an integer where one is required.
    """
    lead, shared = split_kernel_shape(kernel_shape, leading=leading)
    check_sizes(lead, name=leading)
    if len(x_shape) < len(lead) + 1:
        raise ShapeError(
            f"a kernel of {len(kernel_shape)} axes (kernel.shape={tuple(kernel_shape)}) requires x of the shape "
            f"(*batch, *spatial, channels) with {len(lead)} spatial axes, but x.shape={tuple(x_shape)} has "
            f"{len(x_shape)} axes in all. Is the channel axis missing? Try x[..., None]."
        )
    geometry = conv_geometry(
        x_shape,
        shared,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    return lead, geometry


def local_conv_kernel_shape(
    x_shape: Sequence[int],
    features: int,
    kernel_size: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
) -> Sizes:
    """The shape of the kernel of ``local_conv`` for an input: ``(*out_spatial, *window, in // groups, features)``.

    Args:
        x_shape: ``(*batch, *spatial, channels)``.
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: as in ``local_conv``, like ``padding``, ``input_dilation``, ``kernel_dilation`` and
            ``feature_group_count``.

    Raises:
        ShapeError: arguments for which ``local_conv`` raises a ``ShapeError``, or a bare int as ``kernel_size``.
        ValueError: an unknown name of padding.
        TypeError: an option that is not an integer where one is required.

    >>> local_conv_kernel_shape((32, 32, 3), 6, (5, 5), padding="VALID")
    (28, 28, 5, 5, 3, 6)
    """
    window = window_per_axis(kernel_size, name="kernel_size")
    shared = conv_kernel_shape(x_shape[-1], features, window, feature_group_count=feature_group_count)
    geometry = conv_geometry(
        x_shape,
        shared,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    return (*geometry.out_sizes, *shared)


def check_local_positions(lead: Sizes, geometry: ConvGeometry) -> None:
    """Raises unless an unshared kernel has a filter for each output position.

    Raises:
        ShapeError: another number of positions; the message gives the required shape of the kernel.
    """
    if lead != geometry.out_sizes:
        raise ShapeError(
            f"the kernel has filters for {lead} output positions, but x of {geometry.sizes} has "
            f"{geometry.out_sizes} with strides={geometry.strides}, pads={geometry.pads}, "
            f"kernel_dilation={geometry.kernel_dilation} and a window of {geometry.window}. A kernel of "
            f"{(*geometry.out_sizes, *geometry.kernel_shape)} fits, or change padding and strides."
        )


def check_unshared_bias(bias_shape: Sequence[int], lead: Sizes, channels: int, *, leading: str) -> None:
    """Raises unless a bias has one entry per channel or one per filter.

    Raises:
        ShapeError: another shape.
    """
    if tuple(bias_shape) not in ((channels,), (*lead, channels)):
        raise ShapeError(
            f"bias must have one entry per channel, shape ({channels},), or one per filter, "
            f"(*{leading}, out_channels) = {(*lead, channels)}, but has {tuple(bias_shape)}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilePlan:
    """A tiled convolution of an input that is already dilated and padded.

    Attributes:
        tiles: number of filters per axis that repeat over the output; filters without an output are left out.
        blocks: number of repetitions per axis; the last may be partial.
        windows: one window for each of ``blocks * tiles`` positions, possibly more than there are outputs.
        missing: number of entries by which the last of these windows extends past the input.
    """

    tiles: Sizes
    blocks: Sizes
    windows: PatchPlan
    missing: Sizes


def plan_tiles(tiles: Sizes, geometry: ConvGeometry) -> TilePlan:
    """How ``tiles`` filters repeat over the outputs of a padded geometry.

    >>> geometry = conv_geometry((7, 1), (3, 1, 1), padding="VALID")
    >>> plan = plan_tiles((2,), geometry)  # five outputs use the tiles 0 1 0 1 0
    >>> plan.blocks, plan.windows.positions, plan.missing
    ((3,), (6,), (1,))
    """
    # With a symbolic number of outputs no tile is left out; superfluous outputs are sliced off.
    columns = zip(tiles, geometry.out_sizes, strict=True)
    tiles = tuple(tile if is_symbolic(out) else min(tile, out) for tile, out in columns)
    columns = zip(tiles, geometry.out_sizes, strict=True)
    blocks = tuple(1 if tile == out else (out - 1) // tile + 1 for tile, out in columns)
    positions = tuple(block * tile for block, tile in zip(blocks, tiles, strict=True))
    ends = [(p - 1) * s + span for p, s, span in zip(positions, geometry.strides, geometry.reaches, strict=True)]
    missing = tuple(larger(end - size, 0) for end, size in zip(ends, geometry.sizes, strict=True))
    windows = PatchPlan(
        sizes=tuple(map(sum, zip(geometry.sizes, missing, strict=True))),
        window=geometry.window,
        strides=geometry.strides,
        dilation=geometry.kernel_dilation,
        pads=((0, 0),) * geometry.ndim,
        positions=positions,
    )
    return TilePlan(tiles=tiles, blocks=blocks, windows=windows, missing=missing)
