"""An image, and the images that a search found for it."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._canvas import save_figure, shortened
from jaxcnn.vis._contact_sheet import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 9
_LONGEST_NAME = 16


def draw_neighbours(images: ArrayLike, captions: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``neighbours_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        images: as in ``neighbours_figure``.
        captions: as in ``neighbours_figure``.
        path: of the file.

    Raises:
        TypeError: images that are neither uint8 nor floating.
        ValueError: no image, another number of captions, or an unknown suffix.

    >>> import numpy as np
    >>> draw_neighbours(np.zeros((2, 8, 8, 1), np.uint8), ["query", "found"], "found.tiff")
    Traceback (most recent call last):
    ValueError: draw_neighbours: a picture is written as .pdf, .png or .svg, but the path is found.tiff.
    """
    save_figure(neighbours_figure(images, captions), path)


def neighbours_figure(images: ArrayLike, captions: Sequence[str]) -> "Figure":
    """Draws a query and the images found for it, in the order of their similarity.

    Args:
        images: ``(n, height, width, channels)``, uint8; the query first.
        captions: one for each image; long lines are cut.

    Raises:
        TypeError: images that are neither uint8 nor floating.
        ValueError: no image, or another number of captions.

    >>> import numpy as np
    >>> figure = neighbours_figure(np.zeros((2, 8, 8, 1), np.uint8), ["query", "found\\n0.9"])
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['query', 'found\\n0.9']
    """
    lines = ["\n".join(shortened(line, _LONGEST_NAME) for line in caption.split("\n")) for caption in captions]
    columns = max(1, min(len(lines), _COLUMNS))
    return contact_sheet(images, lines, columns=columns, title="Query and nearest images")
