"""Checks of the input of models."""

from collections.abc import Sequence

import jax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_less, is_symbolic


def as_images(
    x: ArrayLike, *, smallest: int = 1, largest: int | None = None, advice: str = "", known_because: str = ""
) -> jax.Array:
    """Images as a JAX array, of a shape that ``check_images`` accepts.

    Raises:
        ShapeError: a shape for which ``check_images`` raises.
        TypeError: something that is not made of numbers.
    """
    x = as_array(x, name="x")
    check_images(x.shape, smallest=smallest, largest=largest, advice=advice, known_because=known_because)
    return x


def check_images(
    shape: Sequence[int], *, smallest: int = 1, largest: int | None = None, advice: str = "", known_because: str = ""
) -> None:
    """Raises unless a shape is ``(*batch, height, width, channels)`` with sides in the range that a model supports.

    Args:
        shape: of the input.
        smallest: the smallest height and width.
        largest: the largest height and width; None for no limit.
        advice: the end of the message, a sentence.
        known_because: for models that do not support symbolic sides, the reason.

    Raises:
        ShapeError: the input has fewer than three axes, no channels, a side outside of the range, or a symbolic side
            that may be outside of the range.

    >>> check_images((8, 224, 224, 3))
    >>> check_images((224, 224))
    Traceback (most recent call last):
    jaxcnn.ShapeError: expected images (*batch, height, width, channels); got x.shape=(224, 224).
    """
    shape = tuple(shape)
    if len(shape) < 3 or shape[-1] < 1:
        raise ShapeError(f"expected images (*batch, height, width, channels); got x.shape={shape}.")
    sizes = shape[-3:-1]
    symbolic = [size for size in sizes if is_symbolic(size)]
    if symbolic and known_because:
        raise ShapeError(
            f"height and width must be known numbers, because {known_because}; got x.shape={shape}. "
            f"Export a program for each size; the batch may be symbolic."
        )
    if all(is_less(smallest - 1, size) and (largest is None or is_less(size, largest + 1)) for size in sizes):
        return
    sides = f"of at least {smallest}" if largest is None else f"from {smallest} to {largest}"
    if symbolic:
        constraints = [f'"{size} >= {smallest}"' for size in symbolic]
        constraints += [] if largest is None else [f'"{size} <= {largest}"' for size in symbolic]
        advice = f"Pass constraints to jax.export.symbolic_shape: {', '.join(constraints)}. {advice}".strip()
    raise ShapeError(
        f"expected images (*batch, height, width, channels) with sides {sides}; got x.shape={shape}."
        + (f" {advice}" if advice else "")
    )
