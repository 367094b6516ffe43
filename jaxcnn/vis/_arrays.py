"""Checks of the arrays that pictures show."""

from collections.abc import Sequence

import numpy as np


def check_images(images: np.ndarray, count: int) -> None:
    """Raises unless images are ``(n, height, width, 1 or 3)`` of uint8, of which at least one is to be drawn.

    Raises:
        TypeError: another dtype.
        ValueError: another shape, or a count below one.
    """
    if count < 1:
        raise ValueError(f"count={count} must be at least 1.")
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8, not {images.dtype}.")
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(f"images must have the shape (n, height, width, 1 or 3), not {images.shape}.")


def check_classes(classes: np.ndarray, class_names: Sequence[str], *, name: str) -> None:
    """Raises unless classes are integers that index ``class_names``.

    Raises:
        TypeError: another dtype.
        ValueError: a class out of range.
    """
    if not np.issubdtype(classes.dtype, np.integer):
        raise TypeError(f"{name} must have an integer dtype, not {classes.dtype}.")
    low, high = int(classes.min(initial=0)), int(classes.max(initial=0))
    if low < 0 or high >= len(class_names):
        low, high = int(classes.min()), int(classes.max())
        raise ValueError(
            f"{name} of {len(class_names)} classes must be in 0..{len(class_names) - 1}, but are from {low} to {high}."
        )
