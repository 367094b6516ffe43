"""Compares two pictures by their lines and shapes, not by their average grey."""

from pathlib import Path

import numpy as np
from PIL import Image

REACH = 2  # pixels that a letter or a line may move: releases of Matplotlib and FreeType place them differently
FEW = 20  # pixels that may differ; a single digit on an axis has about sixty
DIFFERENCE = 40  # of 255, in any of the three colours: less than a pale band differs from its paper


def assert_drawn_alike(new: Path, shown: Path) -> None:
    """Checks that a new picture has the lines, letters and images of a picture in the documentation."""
    one, other = read(new), read(shown)
    assert one.shape == other.shape, f"{shown.name} has another size: draw it again, as its page describes"
    count = unmatched(one, other)
    assert count <= FEW, f"{shown.name} differs in {count} pixels: draw it again, as its page describes"


def read(path: Path) -> np.ndarray:
    """The colours of a picture, ``(height, width, 3)``, on a white background."""
    with Image.open(path) as image:
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def unmatched(one: np.ndarray, other: np.ndarray) -> int:
    """The number of pixels of either picture with no similar pixel near the same position of the other one."""
    if one.shape != other.shape:
        raise ValueError(f"unmatched: the pictures have the shapes {one.shape} and {other.shape}.")
    return max(_unmatched(one, other), _unmatched(other, one))


def _unmatched(one: np.ndarray, other: np.ndarray) -> int:
    rows, columns = np.nonzero(np.abs(one.astype(int) - other).max(-1) > DIFFERENCE)
    padded = np.pad(other, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge").astype(int)
    nearest = np.full(len(rows), 255)
    for down in range(2 * REACH + 1):
        for right in range(2 * REACH + 1):
            distance = np.abs(one[rows, columns] - padded[rows + down, columns + right]).max(-1)
            nearest = np.minimum(nearest, distance)
    return int((nearest > DIFFERENCE).sum())
