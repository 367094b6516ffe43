"""The part of a full correlation that a mode returns, and the padding with which it is computed."""

import dataclasses
import math
from typing import get_args

from jaxcnn._axes import Sizes
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry._options import SignalMode
from jaxcnn._symbolic import is_less, larger, smaller

MODES = get_args(SignalMode)


@dataclasses.dataclass(frozen=True)
class Slide:
    """One array sliding over another.

    Attributes:
        swapped: whether the first array is the smaller one, which slides.
        pads: padding of the larger array on each axis; negative counts crop.
    """

    swapped: bool
    pads: tuple[tuple[int, int], ...]


def kept(size: int, other: int, mode: SignalMode) -> tuple[int, int]:
    """The first of the ``size + other - 1`` entries of an axis that a mode returns, and their number.

    >>> kept(5, 2, "full"), kept(5, 2, "same"), kept(5, 2, "valid")
    ((0, 6), (0, 5), (1, 4))
    >>> kept(5, 4, "same"), kept(2, 5, "same")  # centred; an odd extra entry is dropped after
    ((1, 5), (2, 2))
    """
    if mode == "full":
        return 0, size + other - 1
    if mode == "same":
        return (other - 1) // 2, size
    least, most = smaller(size, other), larger(size, other)
    return least - 1, most - least + 1


def slide(x_shape: Sizes, y_shape: Sizes, *, mode: SignalMode, mirrored: bool) -> Slide:
    """The padding with which sliding the smaller array over the larger gives a mode of their correlation.

    Args:
        x_shape: of the first array.
        y_shape: of the second array.
        mode: ``"full"``, ``"same"`` or ``"valid"``.
        mirrored: whether swapping the arrays reverses the result, as it does for correlation.

    Raises:
        ShapeError: arrays of different rank, an empty array, or, for ``"valid"``, arrays neither of which is at least
            as large as the other on every axis.
        ValueError: an unknown mode.

    >>> slide((5,), (3,), mode="same", mirrored=True)
    Slide(swapped=False, pads=((1, 1),))
    >>> slide((2,), (5,), mode="same", mirrored=False)  # entries 2 and 3 of 6
    Slide(swapped=True, pads=((-1, -1),))
    """
    check_choice(mode, MODES, name="mode")
    if len(x_shape) != len(y_shape) or not x_shape:
        raise ShapeError(
            f"both arrays must have the same number of axes, at least one, but have shapes {x_shape} and {y_shape}. "
            f"All axes are spatial; use jax.vmap for batches."
        )
    if not all((*x_shape, *y_shape)):
        raise ShapeError(f"an array is empty; the shapes are {x_shape} and {y_shape}.")
    contains = all(is_less(m - 1, n) for n, m in zip(x_shape, y_shape, strict=True))
    contained = all(is_less(n - 1, m) for n, m in zip(x_shape, y_shape, strict=True))
    if mode == "valid" and not (contains or contained):
        raise ShapeError(
            f'mode="valid" requires one array at least as large as the other on every axis, '
            f'but the shapes are {x_shape} and {y_shape}. mode="full" and "same" accept them.'
        )
    swapped = not contains if contains or contained else is_less(math.prod(x_shape), math.prod(y_shape))
    pads = []
    for n, m in zip(x_shape, y_shape, strict=True):
        first, count = kept(n, m, mode)
        if swapped and mirrored:
            first = n + m - 1 - first - count
        window = n if swapped else m
        # At entry k of the full result the window's last entry is on entry k of the larger array.
        before = window - 1 - first
        pads.append((before, count + window - 1 - before - (m if swapped else n)))
    return Slide(swapped, tuple(pads))
