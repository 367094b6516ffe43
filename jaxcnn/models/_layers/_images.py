"""Checks of the input of models."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError


def as_images(x: Any, *, smallest: int = 1, largest: int | None = None, advice: str = "") -> jax.Array:
    """Images as a JAX array, of a shape that ``check_images`` accepts.

    Raises:
        ShapeError: a shape for which ``check_images`` raises.
        TypeError: something that is not made of numbers.
    """
    x = as_array(x, name="x")
    check_images(x.shape, smallest=smallest, largest=largest, advice=advice)
    return x


def check_images(shape: Sequence[int], *, smallest: int = 1, largest: int | None = None, advice: str = "") -> None:
    """Raises unless a shape is ``(*batch, height, width, channels)`` with sides in the range that a model supports.

    Args:
        shape: of the input.
        smallest: the smallest height and width.
        largest: the largest height and width; None for no limit.
        advice: the end of the message, a sentence.

    Raises:
        ShapeError: the input has fewer than three axes, no channels, or a side outside of the range.

    >>> check_images((8, 224, 224, 3))
    >>> check_images((224, 224))
    Traceback (most recent call last):
    jaxcnn.ShapeError: expected images (*batch, height, width, channels); got x.shape=(224, 224).
    """
    shape = tuple(shape)
    if len(shape) < 3 or shape[-1] < 1:
        raise ShapeError(f"expected images (*batch, height, width, channels); got x.shape={shape}.")
    if min(shape[-3:-1]) >= smallest and (largest is None or max(shape[-3:-1]) <= largest):
        return
    sides = f"of at least {smallest}" if largest is None else f"from {smallest} to {largest}"
    raise ShapeError(
        f"expected images (*batch, height, width, channels) with sides {sides}; got x.shape={shape}."
        + (f" {advice}" if advice else "")
    )
