"""Checks of the input of models of videos and of series."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_less


def as_videos(
    x: Any, *, smallest: Sequence[int] = (1, 1, 1), largest: Sequence[int | None] = (None, None, None)
) -> jax.Array:
    """Videos ``(*batch, frames, height, width, channels)`` as a JAX array.

    Args:
        x: the input of a model.
        smallest: the least number of frames, height and width.
        largest: the greatest ones; None for no limit.

    Raises:
        ShapeError: fewer than four axes, no channels, or a size outside of the range.
        TypeError: something that is not made of numbers.
    """
    return _as_grids(x, "videos", ("frames", "height", "width"), smallest, largest)


def as_series(x: Any) -> jax.Array:
    """Series ``(*batch, length, channels)`` as a JAX array.

    Raises:
        ShapeError: fewer than two axes, no entries, or no channels.
        TypeError: something that is not made of numbers.
    """
    return _as_grids(x, "series", ("length",), (1,), (None,))


def _as_grids(
    x: Any, kind: str, axes: Sequence[str], smallest: Sequence[int], largest: Sequence[int | None]
) -> jax.Array:
    x = as_array(x, name="x")
    expected = f"expected {kind} (*batch, {', '.join(axes)}, channels)"
    if x.ndim < len(axes) + 1 or x.shape[-1] < 1:
        raise ShapeError(f"{expected}; got x.shape={x.shape}.")
    sizes = x.shape[-len(axes) - 1 : -1]
    for axis, size, least, most in zip(axes, sizes, smallest, largest, strict=True):
        if not is_less(least - 1, size) or not (most is None or is_less(size, most + 1)):
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            raise ShapeError(f"{expected} with {axis} of {limits}; got x.shape={x.shape}.")
    return x
