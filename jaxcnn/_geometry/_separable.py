"""Checks of the kernels of depthwise, pointwise and separable convolutions."""

from collections.abc import Sequence
from math import prod

from jaxcnn._errors import ShapeError


def check_depthwise(x_shape: Sequence[int], kernel_shape: Sequence[int]) -> None:
    """Raises unless a kernel is ``(*window, 1, channels * multiplier)``.

    Raises:
        ShapeError: another shape.

    >>> check_depthwise((8, 32, 32, 3), (5, 5, 3, 1))
    Traceback (most recent call last):
    ...
    jaxcnn.ShapeError: the depthwise kernel must have the shape (*window, 1, channels * multiplier),
    but has (5, 5, 3, 1). Are its last two axes swapped?
    """
    if len(kernel_shape) < 3 or kernel_shape[-2] != 1:
        hint = " Are its last two axes swapped?" if kernel_shape[-1] == 1 else ""
        raise ShapeError(
            f"the depthwise kernel must have the shape (*window, 1, channels * multiplier), "
            f"but has {tuple(kernel_shape)}.{hint}"
        )
    if len(x_shape) < len(kernel_shape) - 1:
        raise ShapeError(
            f"a depthwise kernel {tuple(kernel_shape)} requires x of the shape (*batch, *spatial, channels) with "
            f"{len(kernel_shape) - 2} spatial axes, but x.shape={tuple(x_shape)}. "
            f"Is the channel axis missing? Try x[..., None]."
        )
    if x_shape[-1] == 0:
        raise ShapeError(f"a filter for each channel requires channels, and x has none (x.shape={tuple(x_shape)}).")
    if kernel_shape[-1] % x_shape[-1]:
        raise ShapeError(
            f"the depthwise kernel has {kernel_shape[-1]} outputs, which is not a multiple of the {x_shape[-1]} "
            f"channels of x (kernel {tuple(kernel_shape)}, x.shape={tuple(x_shape)}). Is x channels-first?"
        )


def check_pointwise(x_shape: Sequence[int], kernel_shape: Sequence[int]) -> None:
    """Raises unless a kernel is ``(in_channels, out_channels)`` for this input.

    Raises:
        ShapeError: another shape.
    """
    if len(kernel_shape) != 2:
        hint = f" Try kernel.reshape{tuple(kernel_shape[-2:])}." if prod(kernel_shape[:-2]) == 1 else ""
        raise ShapeError(
            f"the kernel must have the shape (in_channels, out_channels), but has {tuple(kernel_shape)}.{hint}"
        )
    if len(x_shape) < 1 or x_shape[-1] != kernel_shape[0]:
        raise ShapeError(
            f"the kernel {tuple(kernel_shape)} reads {kernel_shape[0]} channels, but x.shape={tuple(x_shape)}. "
            f"Is x channels-first?"
        )


def check_separable(depthwise_shape: Sequence[int], pointwise_shape: Sequence[int]) -> None:
    """Raises unless a pointwise kernel is ``(1, ..., 1, channels * multiplier, out_channels)``.

    Raises:
        ShapeError: another shape.
    """
    ones = (1,) * (len(depthwise_shape) - 2)
    if tuple(pointwise_shape[:-1]) != (*ones, depthwise_shape[-1]):
        raise ShapeError(
            f"after a depthwise kernel {tuple(depthwise_shape)} the pointwise kernel must have the shape "
            f"({', '.join(map(str, (*ones, depthwise_shape[-1])))}, out_channels), but has {tuple(pointwise_shape)}."
        )
