"""Images with boxes, their classes and their scores."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._arrays import check_classes, check_images
from jaxcnn.vis._canvas import INK, new_figure, save_figure, shortened, style
from jaxcnn.vis._segmentation import class_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 7.2  # inches; the width of a page's text
_MARGIN, _GAP, _TOP = 0.06, 0.06, 0.36
_COLUMNS = 4
_LONGEST_NAME = 14


def draw_boxes(
    images: ArrayLike,
    boxes: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str,
    scores: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    count: int = 12,
) -> None:
    """Writes the picture of ``boxes_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        images: as in ``boxes_figure``.
        boxes: as in ``boxes_figure``.
        labels: as in ``boxes_figure``.
        class_names: as in ``boxes_figure``.
        path: of the file.
        title: of the picture.
        scores: as in ``boxes_figure``.
        truth: as in ``boxes_figure``.
        count: as in ``boxes_figure``.

    Raises:
        TypeError: images that are not uint8, or labels that are not integers.
        ValueError: shapes that do not fit each other, classes out of range, a count below one, or an unknown suffix.

    >>> images, boxes, labels = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 1, 4)), np.zeros((1, 1), int)
    >>> draw_boxes(images, boxes, labels, ("background", "cat"), "boxes.tiff", title="One")
    Traceback (most recent call last):
    ValueError: draw_boxes: a picture is written as .pdf, .png or .svg, but the path is boxes.tiff.
    """
    figure = boxes_figure(images, boxes, labels, class_names, title=title, scores=scores, truth=truth, count=count)
    save_figure(figure, path)


def boxes_figure(
    images: ArrayLike,
    boxes: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    title: str,
    scores: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    count: int = 12,
) -> "Figure":
    """Draws the first images with their boxes, in the colours of the classes, and the true boxes as dashed lines.

    Args:
        images: ``(n, height, width, 1 or 3)``, uint8.
        boxes: ``(n, m, 4)`` as ``(x0, y0, x1, y1)`` in pixels.
        labels: ``(n, m)``, integers; boxes of class 0, the background, are not drawn.
        class_names: a name for each class, the first of them for the background; long ones are cut.
        title: of the picture.
        scores: ``(n, m)``, from 0 to 1, written after the class.
        truth: true boxes ``(n, k, 4)``; those without area are not drawn.
        count: the largest number of images.

    Raises:
        TypeError: images that are not uint8, or labels that are not integers.
        ValueError: shapes that do not fit each other, classes out of range, or a count below one.

    >>> images = np.zeros((1, 8, 8, 3), np.uint8)
    >>> boxes, labels = np.array([[[1, 1, 5, 6], [0, 0, 0, 0]]]), np.array([[1, 0]])
    >>> figure = boxes_figure(images, boxes, labels, ("background", "cat"), title="One", scores=[[0.5, 0.0]])
    >>> [text.get_text() for text in figure.axes[0].texts], len(figure.axes[0].patches)
    (['cat 0.50'], 1)
    """
    images, boxes, labels = np.asarray(images), np.asarray(boxes), np.asarray(labels)
    given = np.ones(labels.shape) if scores is None else np.asarray(scores)
    true = np.zeros((len(images), 0, 4)) if truth is None else np.asarray(truth)
    _check(images, boxes, labels, given, true, class_names, count)
    shown = min(count, len(images))
    columns = min(_COLUMNS, shown)
    rows = -(-shown // columns)
    tile = (_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) / max(columns, 2)
    high = tile * images.shape[1] / images.shape[2]
    height = _TOP + rows * (high + _GAP) + _MARGIN
    palette = class_colours(len(class_names))
    with style():
        figure = new_figure(_WIDTH, height)
        for index in range(shown):
            row, column = divmod(index, columns)
            left, below = _MARGIN + column * (tile + _GAP), height - _TOP - (row + 1) * high - row * _GAP
            axes = figure.add_axes((left / _WIDTH, below / height, tile / _WIDTH, high / height))
            axes.set_axis_off()
            image = np.broadcast_to(images[index], (*images.shape[1:3], 3))
            axes.imshow(image, extent=(0, images.shape[2], images.shape[1], 0), aspect="auto")
            for box in true[index]:
                if (box[2:] > box[:2]).all():
                    _rectangle(axes, box, "white", dashed=True)
            for box, label, score in zip(boxes[index], labels[index], given[index], strict=True):
                if label:
                    name = shortened(str(class_names[label]), _LONGEST_NAME)
                    _rectangle(axes, box, palette[label], dashed=False)
                    _caption(axes, box, name if scores is None else f"{name} {score:.2f}", palette[label])
        figure.text(0.01, 1 - 0.1 / height, title, ha="left", va="top", size=9, weight="bold", color=INK)
    return figure


def _rectangle(axes: "Axes", box: np.ndarray, color: object, *, dashed: bool) -> None:
    from matplotlib.patches import Rectangle

    (x0, y0, x1, y1), line = (float(value) for value in box), "--" if dashed else "-"
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=1.3, linestyle=line))  # type: ignore[arg-type]


def _caption(axes: "Axes", box: np.ndarray, text: str, color: object) -> None:
    """A text above the box, or within it at the upper edge of the image."""
    x, y = max(float(box[0]), 0.0), max(float(box[1]), 0.0)
    above = y > 0.12 * axes.get_ylim()[0]
    background = {"facecolor": color, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    axes.text(x, y, text, va="bottom" if above else "top", size=6, color="white", bbox=background, clip_on=True)  # type: ignore[arg-type]


def _check(
    images: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    truth: np.ndarray,
    class_names: Sequence[str],
    count: int,
) -> None:
    check_images(images, count)
    for name, array in (("boxes", boxes), ("truth", truth)):
        if array.ndim != 3 or array.shape[0] != len(images) or array.shape[2] != 4:
            raise ValueError(f"{name} must have the shape ({len(images)}, m, 4), not {array.shape}.")
    for name, array in (("labels", labels), ("scores", scores)):
        if array.shape != boxes.shape[:2]:
            raise ValueError(f"{name} must have an entry for each box {boxes.shape[:2]}, not {array.shape}.")
    check_classes(labels, class_names, name="labels")
