"""Checks of the shapes of image filters."""

from jaxcnn._axes import Sizes, as_int, window_per_axis
from jaxcnn._errors import ShapeError


def filter_ndim(ndim: object) -> int:
    """A number of spatial axes, at least 1.

    Raises:
        ShapeError: fewer than one.
        TypeError: not an integer.
    """
    count = as_int(ndim, name="ndim")
    if count < 1:
        raise ShapeError(f"ndim={count} must be at least 1.")
    return count


def filter_axis(axis: object, ndim: int) -> int:
    """A spatial axis, counted from the front.

    Raises:
        ShapeError: there is no such axis.
        TypeError: not an integer.

    >>> filter_axis(-1, 2)
    1
    """
    number = as_int(axis, name="axis")
    if not -ndim <= number < ndim:
        least = max(number + 1, -number)
        raise ShapeError(f"axis={number} is not one of {ndim} spatial axes. Pass ndim={least} or more?")
    return number % ndim


def centred_window(window_shape: object) -> Sizes:
    """A window with odd sizes.

    Raises:
        ShapeError: an even size, or a bare int.

    >>> centred_window((3, 5))
    (3, 5)
    """
    window = window_per_axis(window_shape)
    if any(size % 2 == 0 for size in window):
        raise ShapeError(f"window_shape={window} has no centre. Use odd sizes.")
    return window


def check_filter(x_shape: Sizes, kernel_shape: Sizes) -> None:
    """Raises unless ``x`` has channels in addition to the spatial axes of the kernel.

    Raises:
        ShapeError: a kernel without axes, or too few axes of ``x``.
    """
    if not kernel_shape:
        raise ShapeError("the kernel must have one axis per spatial axis of x but is a scalar.")
    if len(x_shape) <= len(kernel_shape):
        spatial = ", ".join(f"n{axis}" for axis in range(len(kernel_shape)))
        raise ShapeError(
            f"kernel.shape={kernel_shape} has {len(kernel_shape)} axes, all of them spatial, so x must have the shape "
            f"(*batch, {spatial}, channels), but x.shape={x_shape}. Is the channel axis missing? Try x[..., None]."
        )
