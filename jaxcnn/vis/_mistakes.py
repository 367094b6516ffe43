"""The images that a model gets most wrong, which is where wrong labels and missing augmentations show."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

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
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    count: int = 48,
) -> None:
    """Writes the picture of ``mistakes_figure`` in one step, as PNG, PDF or SVG by the path's ending.

    Raises:
        TypeError: labels that are not integers, or images that are neither uint8 nor floating.
        ValueError: shapes that do not fit each other, labels out of range, rows that are not probabilities, a count
            below one, or an unknown ending.
    """
    save_figure(mistakes_figure(images, labels, probabilities, class_names, count=count), path)


def mistakes_figure(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    *,
    count: int = 48,
) -> "Figure":
    """Draws the worst mistakes, highest loss ``-log p(label)`` first: true class → predicted class, its probability.

    Without a mistake it draws the right ones of highest loss, and says so.

    Args:
        images: ``(n, height, width, channels)``, uint8, or floats in [0, 1]; 1 or 3 channels.
        labels: ``(n,)``, integers.
        probabilities: ``(n, classes)``; each row adds up to one.
        class_names: a name for each class; long ones are cut.
        count: draws at most so many.

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
    # The smallest probability is the highest loss; of equal ones the more confident, then the earlier.
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
        return f"No mistake in {images:,} images; the {shown} least certain, all right"
    rate = f"{mistakes:,} of {images:,} images are wrong ({100 * mistakes / images:.2f} %)"
    return f"{rate}; the {shown} worst" if shown < mistakes else f"{rate}, worst first"


def _check(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], count: int
) -> None:
    if count < 1:
        raise ValueError(f"count={count} must be at least 1.")
    if images.ndim != 4 or not images.size:
        raise ValueError(f"images want the shape (n, height, width, channels), not {images.shape}.")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images want as many labels, but labels.shape={labels.shape}.")
    if probabilities.shape != (len(images), len(class_names)):
        raise ValueError(
            f"{len(images)} images and {len(class_names)} class names want probabilities of the shape "
            f"{(len(images), len(class_names))}, not {probabilities.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels want an integer dtype, not {labels.dtype}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(class_names):
        raise ValueError(
            f"labels of {len(class_names)} classes lie in 0..{len(class_names) - 1}, but run from {low} to {high}."
        )
    in_range = np.all((probabilities >= 0) & (probabilities <= 1 + _TOLERANCE))
    if not in_range or np.any(np.abs(probabilities.sum(axis=-1) - 1) > _TOLERANCE):
        raise ValueError("each row of probabilities must add up to 1; are these logits? Then take the softmax.")
