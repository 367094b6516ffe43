"""Groups of channels, in plain integers."""

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError


def feature_groups(channels: int, size: int) -> int:
    """The number of groups of ``size`` neighbouring channels.

    Raises:
        ShapeError: a size under 1, or a size that does not divide the channels.
        TypeError: a size that is not an integer.

    >>> feature_groups(240, 5)
    48
    """
    size = as_int(size, name="size")
    if size < 1:
        raise ShapeError(f"size={size} must be at least 1.")
    if channels < 1 or channels % size:
        fits = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
        raise ShapeError(f"{channels} channels do not make groups of {size}. Sizes that fit: {fits or 'none'}.")
    return channels // size
