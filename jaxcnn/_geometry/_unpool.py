"""Checks of the shapes of an unpooling."""

import math
from collections.abc import Sequence

from jaxcnn._axes import window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_symbolic

# An index counts the positions of an image from 0, as int32.
MOST_POSITIONS = 2**31 - 1


def check_index_range(sizes: Sequence[int], *, name: str) -> None:
    """Raises if an image has more positions than an int32 index can count.

    Raises:
        ShapeError: more than ``2**31 - 1`` positions.
    """
    if not any(map(is_symbolic, sizes)) and math.prod(sizes) > MOST_POSITIONS:
        raise ShapeError(
            f"{name}={tuple(sizes)} has {math.prod(sizes):,} positions, but indices are int32 and count at most "
            f"{MOST_POSITIONS:,}. Pool parts of the image."
        )


def unpool_shape(
    y_shape: Sequence[int], indices_shape: Sequence[int], output_shape: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The batch part of ``y`` and the spatial shape to unpool to.

    Raises:
        ShapeError: ``y`` and its indices differ in shape, or ``output_shape`` has more spatial axes than ``y`` or more
            positions than an index can count.
        TypeError: ``output_shape`` is not made of integers.

    >>> unpool_shape((8, 2, 2, 16), (8, 2, 2, 16), (4, 5))
    ((8,), (4, 5))
    """
    sizes = window_per_axis(output_shape, name="output_shape")
    if tuple(y_shape) != tuple(indices_shape):
        raise ShapeError(
            f"y and indices must have the same shape, but y.shape={tuple(y_shape)} and "
            f"indices.shape={tuple(indices_shape)}. Pass both results of max_pool_with_indices."
        )
    if len(y_shape) < len(sizes) + 1:
        raise ShapeError(
            f"output_shape={sizes} has {len(sizes)} axes, which with the channels is more than "
            f"y.shape={tuple(y_shape)} has. output_shape is spatial: no batch axes, no channels."
        )
    check_index_range(sizes, name="output_shape")
    return tuple(y_shape[: -len(sizes) - 1]), sizes
