"""Images, the class of each pixel, and predicted classes, in rows."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._arrays import check_classes, check_images
from jaxcnn.vis._canvas import INK, new_figure, save_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 7.2  # inches; the width of a page's text
_LEFT, _RIGHT = 0.62, 0.1  # for the names of the rows; nothing
_GAP = 0.05
_LONGEST_NAME, _LONGEST_ROW = 14, 9
_UNLABELLED = 255  # pixels of this value have no class
_DARK = 0.2  # the grey of pixels without a class
_OPACITY = 0.6  # of the classes over an image


def draw_segmentation(
    images: ArrayLike,
    labels: ArrayLike | None,
    predictions: ArrayLike | Mapping[str, ArrayLike],
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str,
    count: int = 8,
    over_images: bool = False,
) -> None:
    """Writes the picture of ``segmentation_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        images: as in ``segmentation_figure``.
        labels: as in ``segmentation_figure``.
        predictions: as in ``segmentation_figure``.
        class_names: as in ``segmentation_figure``.
        path: of the file.
        title: of the picture.
        count: as in ``segmentation_figure``.
        over_images: as in ``segmentation_figure``.

    Raises:
        TypeError: images that are not uint8, or labels or predictions that are not integers.
        ValueError: shapes that do not fit each other, classes out of range, a count below one, an unknown suffix.

    >>> images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), int)
    >>> draw_segmentation(images, labels, labels, ("background", "cat"), "scenes.tiff", title="Two")
    Traceback (most recent call last):
    ValueError: draw_segmentation: a picture is written as .pdf, .png or .svg, but the path is scenes.tiff.
    """
    figure = segmentation_figure(
        images, labels, predictions, class_names, title=title, count=count, over_images=over_images
    )
    save_figure(figure, path)


def segmentation_figure(
    images: ArrayLike,
    labels: ArrayLike | None,
    predictions: ArrayLike | Mapping[str, ArrayLike],
    class_names: Sequence[str],
    *,
    title: str,
    count: int = 8,
    over_images: bool = False,
) -> "Figure":
    """Draws the first images, their labels and the predictions in rows, with a legend of the classes.

    Class 0, usually the background, is pale, and a pixel without a label, 255, is dark.

    Args:
        images: ``(n, height, width, 1 or 3)``, uint8.
        labels: ``(n, height, width)``, integers; None draws no row of them.
        predictions: as the labels; or several of them by name, each a row, such as the repetitions of
            ``models.Refinement``.
        class_names: a name for each class; long ones are cut.
        title: of the picture.
        count: the largest number of images.
        over_images: whether the classes are drawn over the images, which show through; class 0 is then not drawn.

    Raises:
        TypeError: images that are not uint8, or labels or predictions that are not integers.
        ValueError: shapes that do not fit each other, classes out of range, a count below one, or no prediction.

    >>> images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), int)
    >>> figure = segmentation_figure(images, labels, labels, ("background", "cat"), title="Two")
    >>> len(figure.axes), [text.get_text() for text in figure.legends[0].texts]
    (6, ['background', 'cat'])
    """
    named = dict(predictions) if isinstance(predictions, Mapping) else {"model": predictions}
    if not named:
        raise ValueError("expected predictions, or several of them by name, got none.")
    true = {} if labels is None else {"truth": labels}
    images, rows = np.asarray(images), {name: np.asarray(each) for name, each in {**true, **named}.items()}
    check_images(images, count)
    for name, classes in rows.items():
        called = {"truth": "labels", "model": "predictions"}.get(name, f"predictions[{name!r}]")
        if classes.shape != images.shape[:3]:
            raise ValueError(f"{called} must have a class for each pixel {images.shape[:3]}, not {classes.shape}.")
        check_classes(np.where(classes == _UNLABELLED, 0, classes), class_names, name=called)
    columns = min(count, len(images))
    palette = class_colours(len(class_names))
    tile = (_WIDTH - _LEFT - _RIGHT - (columns - 1) * _GAP) / max(columns, 4)
    high = tile * images.shape[1] / images.shape[2]
    unlabelled = not over_images and any((classes[:columns] == _UNLABELLED).any() for classes in rows.values())
    lines = -(-(len(class_names) + unlabelled) // 11)
    top, bottom = 0.35, 0.3 + 0.2 * lines
    height = top + bottom + (1 + len(rows)) * high + len(rows) * _GAP
    with style():
        from matplotlib.patches import Patch

        figure = new_figure(_WIDTH, height)
        for row, name in enumerate(("image", *rows)):
            below = bottom + (len(rows) - row) * (high + _GAP)
            figure.text(
                0.02, (below + high / 2) / height, shortened(name, _LONGEST_ROW), va="center", size=8, color=INK
            )
            for column in range(columns):
                left = _LEFT + column * (tile + _GAP)
                axes = figure.add_axes((left / _WIDTH, below / height, tile / _WIDTH, high / height))
                axes.set_axis_off()
                shown: np.ndarray = np.broadcast_to(images[column], (*images.shape[1:3], 3))
                if row:
                    shown = _coloured(rows[name][column], palette, shown if over_images else None)
                axes.imshow(shown, interpolation="nearest", aspect="auto")
        names = [shortened(str(name), _LONGEST_NAME) for name in class_names]
        handles = [Patch(color=colour, label=name) for colour, name in zip(palette, names, strict=True)]
        if unlabelled:
            handles.append(Patch(color=(_DARK,) * 3, label="no label"))
        figure.legend(
            handles=handles,
            loc="lower center",
            ncols=-(-len(handles) // lines),
            frameon=False,
            handlelength=0.9,
            handletextpad=0.4,
            columnspacing=1.0,
            fontsize=7,
        )
        figure.text(0.02, 1 - 0.1 / height, title, ha="left", va="top", size=9, weight="bold", color=INK)
    return figure


def class_colours(count: int) -> np.ndarray:
    """A colour for each class, ``(count, 3)`` in [0, 1]: pale for class 0, ten distinct colours or hues for the others.

    Args:
        count: the number of classes.

    >>> class_colours(2).round(2).tolist()
    [[0.93, 0.93, 0.93], [0.12, 0.47, 0.71]]
    """
    from matplotlib import colormaps

    others = count - 1
    vivid = colormaps["tab10"](np.arange(others)) if others <= 10 else colormaps["hsv"](np.arange(others) / others)
    return np.concatenate([np.full((1, 3), 0.93), vivid[:, :3]])


def _coloured(classes: np.ndarray, palette: np.ndarray, image: np.ndarray | None) -> np.ndarray:
    """A map of classes ``(height, width)`` as colours in [0, 1]; over an image where there is one."""
    unlabelled = classes == _UNLABELLED
    found = palette[np.where(unlabelled, 0, classes)]
    if image is None:
        found[unlabelled] = _DARK
        return found
    opacity = np.where(unlabelled | (classes == 0), 0, _OPACITY)[..., None]
    return np.asarray((1 - opacity) * image / 255 + opacity * found)
