"""Images as input of a network, with their most probable classes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._canvas import save_figure, shortened
from jaxcnn.vis._contact_sheet import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 8
_LONGEST_NAME = 18


def draw_predictions(images: ArrayLike, predictions: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``predictions_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        images: as in ``predictions_figure``.
        predictions: as in ``predictions_figure``.
        path: of the file.

    Raises:
        TypeError: images that are neither uint8 nor floating.
        ValueError: no image, another number of predictions, or an unknown suffix.

    >>> import numpy as np
    >>> prediction = {"image": "a/7.png", "inverted": True, "top": [{"class": "seven", "probability": 0.75}]}
    >>> draw_predictions(np.zeros((1, 8, 8, 1), np.uint8), [prediction], "predictions.tiff")
    Traceback (most recent call last):
    ValueError: draw_predictions: a picture is written as .pdf, .png or .svg, but the path is predictions.tiff.
    """
    save_figure(predictions_figure(images, predictions), path)


def predictions_figure(images: ArrayLike, predictions: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draws images with the names of their files and their most probable classes.

    Args:
        images: ``(n, height, width, channels)``, uint8.
        predictions: one for each image, as in the JSON of ``jaxcnn predict``: ``image``, ``inverted`` and ``top``.

    Raises:
        TypeError: images that are neither uint8 nor floating.
        ValueError: no image, or another number of predictions.

    >>> import numpy as np
    >>> prediction = {"image": "a/7.png", "inverted": True, "top": [{"class": "seven", "probability": 0.75}]}
    >>> predictions_figure(np.zeros((1, 8, 8, 1), np.uint8), [prediction]).axes[0].texts[0].get_text()
    '7.png (inverted)\\nseven 75.0 %'
    """
    captions = [
        f"{shortened(Path(each['image']).name, _LONGEST_NAME)}{' (inverted)' if each['inverted'] else ''}\n"
        f"{shortened(each['top'][0]['class'], _LONGEST_NAME)} {100 * each['top'][0]['probability']:.1f} %"
        for each in predictions
    ]
    return contact_sheet(
        images, captions, columns=max(1, min(len(predictions), _COLUMNS)), title="Input of the network"
    )
