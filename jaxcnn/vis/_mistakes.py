"""The misclassified images with the highest loss, which often reveal wrong labels and missing augmentations."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._canvas import save_figure, shortened
from jaxcnn.vis._contact_sheet import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 8
_LONGEST_NAME = 18
_LONGEST_LETTERS = 12
# Probabilities in bfloat16 add up to one within this.
_TOLERANCE = 0.02


def draw_mistakes(
    images: ArrayLike,
    labels: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    count: int = 48,
) -> None:
    """Writes the picture of ``mistakes_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        images: as in ``mistakes_figure``.
        labels: as in ``mistakes_figure``.
        probabilities: as in ``mistakes_figure``.
        class_names: as in ``mistakes_figure``.
        path: of the file.
        count: as in ``mistakes_figure``.

    Raises:
        TypeError: labels that are not integers, or images that are neither uint8 nor floating.
        ValueError: shapes that do not fit each other, labels out of range, rows that are not probabilities, a count
            below one, or an unknown suffix.

    >>> images, labels = np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1])
    >>> draw_mistakes(images, labels, np.eye(2), ("4", "9"), "mistakes.tiff")
    Traceback (most recent call last):
    ValueError: draw_mistakes: a picture is written as .pdf, .png or .svg, but the path is mistakes.tiff.
    """
    save_figure(mistakes_figure(images, labels, probabilities, class_names, count=count), path)


def mistakes_figure(
    images: ArrayLike,
    labels: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    *,
    count: int = 48,
) -> "Figure":
    """Draws the misclassified images in descending order of the loss ``-log p(label)``.

    A caption gives the true class, the predicted class and its probability. Without misclassified images, the correctly
    classified ones with the highest loss are drawn.

    Args:
        images: ``(n, height, width, channels)``, uint8, or floats in [0, 1]; 1 or 3 channels.
        labels: ``(n,)``, integers.
        probabilities: ``(n, classes)``; the sum of each row is 1.
        class_names: a name for each class; long ones are cut.
        count: the largest number of images.

    Raises:
        TypeError: labels that are not integers, or images that are neither uint8 nor floating.
        ValueError: shapes that do not fit each other, labels out of range, rows that are not probabilities, or a
            count below one.

    >>> images, labels = np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1])
    >>> figure = mistakes_figure(images, labels, np.array([[0.03, 0.97], [0.2, 0.8]]), ("4", "9"))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['4 → 9  97 %']
    """
    images, labels = np.asarray(images), np.asarray(labels)
    probabilities = np.asarray(probabilities).astype(np.float64)
    _check(images, labels, probabilities, class_names, count)
    predictions = probabilities.argmax(axis=-1)
    confidences = probabilities.max(axis=-1)
    of_label = np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=-1)[:, 0]
    wrong = np.flatnonzero(predictions != labels)
    among = wrong if wrong.size else np.arange(len(labels))
    # In ascending order of the label's probability; ties by descending confidence, then by index.
    chosen = among[np.lexsort((-confidences[among], of_label[among]))][:count]
    names = [shortened(str(name), _LONGEST_NAME) for name in class_names]
    parts = [
        [names[labels[i]], *([f"→ {names[predictions[i]]}"] if wrong.size else []), _percent(confidences[i])]
        for i in chosen
    ]
    stacked = max(sum(map(len, part)) for part in parts) > _LONGEST_LETTERS
    captions = ["\n".join(part) if stacked else " ".join(part[:-1]) + "  " + part[-1] for part in parts]
    title = _title(len(wrong), len(labels), len(chosen))
    return contact_sheet(images[chosen], captions, columns=_COLUMNS, title=title)


def _percent(confidence: float) -> str:
    return f"{100 * confidence:.0f} %"


def _title(mistakes: int, images: int, shown: int) -> str:
    if not mistakes:
        return f"No misclassification of {images:,} images; the {shown} with the highest loss"
    rate = f"{mistakes:,} of {images:,} images are misclassified ({100 * mistakes / images:.2f} %)"
    return f"{rate}; the {shown} with the highest loss" if shown < mistakes else f"{rate}, highest loss first"


def _check(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], count: int
) -> None:
    if count < 1:
        raise ValueError(f"count={count} must be at least 1.")
    if images.ndim != 4 or not images.size:
        raise ValueError(f"images must have the shape (n, height, width, channels), not {images.shape}.")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images require as many labels, but labels.shape={labels.shape}.")
    if probabilities.shape != (len(images), len(class_names)):
        raise ValueError(
            f"{len(images)} images and {len(class_names)} class names require probabilities of the shape "
            f"{(len(images), len(class_names))}, not {probabilities.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must have an integer dtype, not {labels.dtype}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(class_names):
        raise ValueError(
            f"labels of {len(class_names)} classes must be in 0..{len(class_names) - 1}, but are from {low} to {high}."
        )
    in_range = np.all((probabilities >= 0) & (probabilities <= 1 + _TOLERANCE))
    if not in_range or np.any(np.abs(probabilities.sum(axis=-1) - 1) > _TOLERANCE):
        raise ValueError("each row of probabilities must add up to 1; are these logits? Then take the softmax.")
