"""Many small images on one sheet, with captions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._canvas import INK, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 7.2  # inches; the width of a page's text
_GAP = 0.12  # between two images, in widths of an image
_LARGEST_TILE = 1.2  # inches


def contact_sheet(images: ArrayLike, captions: Sequence[str], *, columns: int, title: str) -> "Figure":
    """Draws images in rows, from left to right, with a caption below each.

    Args:
        images: ``(n, height, width, channels)`` with 1 (grey) or 3 channels (red, green, blue); uint8, or floats in
            [0, 1]. 0 is black and 255 or 1 is white, the same in every image.
        captions: one for each image; they may have several lines.
        columns: number of images in a row.
        title: of the sheet.

    Raises:
        TypeError: images that are neither uint8 nor floating.
        ValueError: images of another shape, floats outside [0, 1], no image, another number of captions, or ``columns``
            below 1.

    >>> figure = contact_sheet(np.zeros((3, 8, 8, 1), np.uint8), ["a", "b", "c"], columns=2, title="Three")
    >>> len(figure.axes[0].images)
    3
    """
    tiles = _checked(images, captions, columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    longest = max(len(line) for caption in captions for line in caption.split("\n"))
    rows = math.ceil(len(tiles) / columns)
    tile = min(_LARGEST_TILE, _WIDTH / (columns + (columns - 1) * _GAP))
    # The width of a letter is about 0.6 of its size. The longest caption must fit between its neighbours.
    size = float(np.clip(72 * tile * (1 + 0.7 * _GAP) / (0.62 * max(longest, 1)), 3.5, 7.5))
    text = (1.3 * size * lines + 5) / 72
    high = tile * tiles.shape[1] / tiles.shape[2]
    width, height, top = _WIDTH + 0.2, rows * (high + text) + 0.45, 0.4
    with style():
        figure = new_figure(width, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for index, (image, caption) in enumerate(zip(tiles, captions, strict=True)):
            left = 0.1 + index % columns * tile * (1 + _GAP)
            above = height - top - index // columns * (high + text)
            # The last three arguments have no effect on tiles in colour.
            shades = image[..., 0] if image.shape[-1] == 1 else image
            axes.imshow(shades, extent=(left, left + tile, above - high, above), cmap="gray", vmin=0, vmax=1)
            axes.text(left + tile / 2, above - high - 2 / 72, caption, ha="center", va="top", size=size)
        # imshow sets the limits to those of the last image.
        axes.set(xlim=(0, width), ylim=(0, height), aspect="auto")
        figure.text(0.1 / width, 1 - 0.12 / height, title, ha="left", va="top", size=9, weight="bold", color=INK)
    return figure


def _checked(given: ArrayLike, captions: Sequence[str], columns: int) -> np.ndarray:
    """The images as float32 in [0, 1]."""
    images = np.asarray(given)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images must have the shape (n, height, width, 1 or 3), but images.shape={images.shape}.")
    if not images.size:
        raise ValueError(f"images of the shape {images.shape} have no pixels.")
    if len(captions) != len(images):
        raise ValueError(f"{len(images)} images require as many captions, not {len(captions)}.")
    if columns < 1:
        raise ValueError(f"columns={columns} must be at least 1.")
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    if not jax.dtypes.issubdtype(images.dtype, np.floating):  # NumPy's does not support bfloat16
        raise TypeError(f"images must be uint8, or floats in [0, 1], not {images.dtype}.")
    images = images.astype(np.float32)
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 1:
        raise ValueError(f"floating images must be in [0, 1], but these are from {low:g} to {high:g}.")
    return images
