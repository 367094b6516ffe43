"""Checks of the shapes of a batch normalisation."""

from collections.abc import Mapping, Sequence

from jaxcnn._axes import Sizes, as_int
from jaxcnn._errors import ShapeError


def check_per_channel(x_shape: Sizes, vectors: Mapping[str, Sizes]) -> None:
    """Raises unless each vector has one entry for each channel of ``x``.

    Raises:
        ShapeError: a vector has another shape, or ``x`` has no axis.

    >>> check_per_channel((8, 3, 32, 32), {"stats.mean": (3,)})
    Traceback (most recent call last):
    ...
    jaxcnn.ShapeError: stats.mean must have one entry per channel, (32,) for
    x.shape=(8, 3, 32, 32), but has shape (3,). Is x channels-first?
    """
    if not x_shape:
        raise ShapeError("x must have the shape (*batch, *spatial, channels) but is a scalar.")
    for name, shape in vectors.items():
        if shape == (x_shape[-1],):
            continue
        hint = ""
        if len(shape) == 1 and len(x_shape) > 1 and shape[0] in x_shape[:-1]:
            hint = " Is x channels-first?"
        raise ShapeError(
            f"{name} must have one entry per channel, ({x_shape[-1]},) for x.shape={x_shape}, "
            f"but has shape {shape}.{hint}"
        )


def full_rank_mask(mask_shape: Sizes, x_shape: Sizes) -> Sizes:
    """The shape of a mask with an axis for each axis of ``x``; a mask with fewer axes gets trailing axes of 1.

    Raises:
        ShapeError: the mask does not fit.

    >>> full_rank_mask((8,), (8, 32, 32, 3))
    (8, 1, 1, 1)
    """
    full = mask_shape + (1,) * (len(x_shape) - len(mask_shape))
    if len(full) != len(x_shape) or any(m not in (1, n) for m, n in zip(full, x_shape, strict=True)):
        raise ShapeError(
            f"mask.shape={mask_shape} does not fit x.shape={x_shape}. Give it one entry per example, "
            f"{x_shape[:1]}, or per position, {x_shape[:-1]}, or the rank of x with 1 on the other axes."
        )
    return full


def group_in_channels(kernel_shape: Sizes, channels: int, *, transposed: bool, groups: int) -> int:
    """The number of input channels that a group of a kernel reads, for a kernel whose outputs are normalised.

    Raises:
        ShapeError: the kernel does not have ``channels`` output channels, or the groups do not divide the channels.

    >>> group_in_channels((3, 3, 2, 8), 4, transposed=True, groups=2)
    4
    """
    if groups < 1:
        raise ShapeError(f"feature_group_count={groups} must be at least 1.")
    if len(kernel_shape) < 2:
        raise ShapeError(f"the kernel must have at least the axes (in, out) but has shape {kernel_shape}.")
    layout = "(*window, out_channels // groups, in_channels)" if transposed else "(*window, in_channels, out_channels)"
    out = kernel_shape[-2] * groups if transposed else kernel_shape[-1]
    if out != channels:
        raise ShapeError(
            f"the kernel {kernel_shape}, read as {layout}, makes {out} channels but the statistics have "
            f"{channels}. Check transposed={transposed} and feature_group_count={groups}."
        )
    split = kernel_shape[-1]
    if split % groups:
        raise ShapeError(f"feature_group_count={groups} does not divide the {split} channels of the kernel.")
    return split // groups


def feature_axes(axis: int | Sequence[int], x_shape: Sizes) -> Sizes:
    """The axes over which statistics are not reduced, as sorted non-negative integers.

    Raises:
        ShapeError: an axis that ``x`` does not have, or a repeated axis.
        TypeError: an axis that is not an integer.

    >>> feature_axes(-1, (8, 32, 32, 3))
    (3,)
    """
    ndim = len(x_shape)
    indices = [as_int(entry, name="axis") for entry in (axis if isinstance(axis, Sequence) else (axis,))]
    if any(not -ndim <= entry < ndim for entry in indices):
        raise ShapeError(f"axis={axis} is not among the {ndim} axes of x.shape={x_shape}.")
    axes = sorted(entry % ndim for entry in indices)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"axis={axis} names an axis of x.shape={x_shape} twice.")
    return tuple(axes)
