"""Options that are one integer for all spatial axes, or one integer per axis."""

import operator
from collections.abc import Sequence

from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_less, is_symbolic

IntPerAxis = int | Sequence[int]
Sizes = tuple[int, ...]


def as_int(value: object, *, name: str) -> int:
    """The value as a Python int; floats, bools and strings are errors.

    Raises:
        TypeError: the value is not an integer.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}.")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__}).") from None


def as_size(value: object, *, name: str) -> int:
    """The size of an axis as a Python int; a symbolic dimension of JAX is returned unchanged.

    Raises:
        TypeError: the value is neither an integer nor a symbolic dimension.
    """
    return value if is_symbolic(value) else as_int(value, name=name)  # type: ignore[return-value]


def int_per_axis(value: IntPerAxis, ndim: int, *, name: str, minimum: int = 1) -> tuple[int, ...]:
    """One int per axis, from a bare int for all axes or from a sequence.

    Raises:
        TypeError: an entry is not an integer.
        ShapeError: the length of the sequence is not ``ndim``, or an entry is under ``minimum``.

    >>> int_per_axis(2, 3, name="strides")
    (2, 2, 2)
    >>> int_per_axis((2, 1), 2, name="strides")
    (2, 1)
    """
    if isinstance(value, str):
        raise TypeError(f"{name} must be an integer or one integer per axis, not {value!r}.")
    if isinstance(value, Sequence) or hasattr(value, "__iter__"):
        entries = tuple(as_int(entry, name=name) for entry in value)
        if len(entries) != ndim:
            raise ShapeError(
                f"{name}={entries} has {len(entries)} entries but there are {ndim} spatial axes. "
                f"Write one integer per axis, or a single integer for all of them."
            )
    else:
        entries = (as_int(value, name=name),) * ndim
    if any(entry < minimum for entry in entries):
        raise ShapeError(f"{name}={value!r} must be at least {minimum} on every axis.")
    return entries


def check_sizes(sizes: Sequence[int], *, name: str) -> None:
    """Raises if an axis has size 0.

    Raises:
        ShapeError: a size under 1.
    """
    if any(is_less(size, 1) for size in sizes):
        raise ShapeError(f"{name}={tuple(sizes)} must be at least 1 on every axis.")


def whole_shape(value: object, *, name: str = "input_shape") -> tuple[int, ...]:
    """The whole shape of an array, batch axes and channels included; an axis may be empty or symbolic.

    Raises:
        TypeError: not a sequence of integers.
        ShapeError: an entry under 0.

    >>> whole_shape([8, 32, 32, 3])
    (8, 32, 32, 3)
    """
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be the whole shape, such as (8, 32, 32, 3), not {value!r}.")
    entries = tuple(as_size(entry, name=name) for entry in value)
    if any(is_less(entry, 0) for entry in entries):
        raise ShapeError(f"{name}={entries} must be at least 0 on every axis.")
    return entries


def window_per_axis(value: object, *, name: str = "window_shape") -> tuple[int, ...]:
    """A window as a tuple, whose length determines the number of spatial axes.

    A bare int is an error, because it does not determine that number.

    Raises:
        ShapeError: a bare int, an empty tuple, or an entry under 1.
        TypeError: an entry is not an integer.

    >>> window_per_axis((2, 2))
    (2, 2)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        raise ShapeError(
            f"{name}={value} can be read as ({value},) for 1-D data or as ({value}, {value}) for images. "
            f"Write one of these tuples."
        )
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must have one integer per spatial axis, such as (2, 2), not {value!r}.")
    entries = tuple(value)
    if not entries:
        raise ShapeError(f"{name}=() has no spatial axis. Write one integer per axis, such as (2, 2).")
    return int_per_axis(entries, len(entries), name=name)
