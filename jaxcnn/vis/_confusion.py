"""Which classes are taken for which: counts, and a picture in which the mistakes stand out, not the diagonal."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn.vis._canvas import FAINT, INK, PAPER, new_figure, no_frame, save_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES_WITH_COUNTS = 30
_LONGEST_NAME = 24
# Per cent. The colours reach at least so far, or else the one mistake of a good model would be the darkest red.
_LEAST_SCALE = 10.0


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts how often each class (row) is taken for each class (column): ``(num_classes, num_classes)``, int64.

    Raises:
        TypeError: labels or predictions that are not integers.
        ValueError: arrays that are not two rows of one length, that are empty, or a class out of range.

    >>> confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]), 3)
    array([[1, 0, 1],
           [0, 1, 0],
           [0, 0, 1]])
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes} must be at least 1.")
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            f"labels and predictions want one row each, of one length, but have the shapes "
            f"{labels.shape} and {predictions.shape}."
        )
    if not labels.size:
        raise ValueError("there is no label to count.")
    for name, classes in (("labels", labels), ("predictions", predictions)):
        if not np.issubdtype(classes.dtype, np.integer):
            hint = " Of probabilities, give the argmax." if name == "predictions" else ""
            raise TypeError(f"{name} want an integer dtype, not {classes.dtype}.{hint}")
        low, high = int(classes.min()), int(classes.max())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"{name} of {num_classes} classes lie in 0..{num_classes - 1}, but run from {low} to {high}."
            )
    pairs = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def draw_confusion(matrix: np.ndarray, class_names: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``confusion_figure`` in one step, as PNG, PDF or SVG by the path's ending.

    Raises:
        TypeError: a matrix that does not hold integers.
        ValueError: a matrix that is not square, empty or negative, other than one name a class, an unknown ending.
    """
    save_figure(confusion_figure(matrix, class_names), path)


def confusion_figure(matrix: np.ndarray, class_names: Sequence[str]) -> "Figure":
    """Draws a confusion matrix, each mistake coloured by its share of the true class's images.

    The right ones, on the diagonal, stay grey. Counts are printed for up to 30 classes.

    Args:
        matrix: counts; rows are true classes, columns predicted ones.
        class_names: a name for each class; long ones are cut.

    Raises:
        TypeError: a matrix that does not hold integers.
        ValueError: a matrix that is not square, empty or negative, or other than one name a class.

    >>> confusion_figure(np.array([[9, 1], [0, 10]]), ("cat", "dog")).axes[0].get_title(loc="left")
    '95.00 % right: 19 of 20 images'
    """
    matrix = _checked(matrix, class_names)
    totals, right = matrix.sum(axis=1), np.diagonal(matrix)
    shares = 100 * matrix / np.maximum(totals, 1)[:, None]
    np.fill_diagonal(shares, 0)
    count, images = len(matrix), int(matrix.sum())
    names = [shortened(str(name), _LONGEST_NAME) for name in class_names]
    with style():
        side = min(7.5, 2.4 + 0.36 * count)
        figure = new_figure(side + 1.3, side + 0.6)
        figure.set_layout_engine("constrained", h_pad=0.12)
        axes = figure.add_subplot()
        _draw_shares(figure, axes, shares)
        sparse = count <= _MOST_CLASSES_WITH_COUNTS
        size = float(np.clip(200 / count, 3.2, 8))
        if sparse:
            _print_counts(axes, matrix, shares, size)
        axes.set_title(f"{100 * right.sum() / images:.2f} % right: {right.sum():,} of {images:,} images", weight="bold")
        flat = max(map(len, names)) * 0.62 * size / 72 < side / count / 1.4  # inches of a name, of a column
        axes.set_xticks(range(count), names, size=size, rotation=0 if flat else 90)
        axes.set_yticks(range(count), names, size=size, va="center")
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class")
        no_frame(axes)
        if sparse:
            _print_accuracies(axes, right, totals, size)
    return figure


def _checked(matrix: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"the matrix wants a row and a column a class, not the shape {matrix.shape}.")
    if len(class_names) != len(matrix):
        raise ValueError(f"{len(matrix)} classes want as many names, not {len(class_names)}.")
    if not np.issubdtype(matrix.dtype, np.integer):
        raise TypeError(f"the matrix wants counts, of an integer dtype, not {matrix.dtype}.")
    if (matrix < 0).any():
        raise ValueError(f"counts cannot be negative, but one is {matrix.min()}.")
    if not matrix.sum():
        raise ValueError("the matrix counts no image at all.")
    return matrix


def _draw_shares(figure: "Figure", axes: "Axes", shares: np.ndarray) -> None:
    """Colours the mistakes; the diagonal grey, pairs that never occur white."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    # A single mistake must show, so the scale starts well above white.
    reds = matplotlib.colormaps["YlOrRd"](np.linspace(0.2, 0.95, 256))
    colours = LinearSegmentedColormap.from_list("mistakes", reds)
    highest = max(float(shares.max()), _LEAST_SCALE)
    drawn = axes.imshow(np.ma.masked_equal(shares, 0), cmap=colours, vmin=0, vmax=highest, zorder=2)
    edge = 0.6 if len(shares) <= _MOST_CLASSES_WITH_COUNTS else 0
    for index in range(len(shares)):
        axes.add_patch(Rectangle((index - 0.5, index - 0.5), 1, 1, facecolor="#DDDDDD", linewidth=0, zorder=1))
    for line in np.arange(0.5, len(shares) - 1) if edge else ():
        axes.axhline(line, color=PAPER, linewidth=edge, zorder=2.5)
        axes.axvline(line, color=PAPER, linewidth=edge, zorder=2.5)
    if shares.any():
        bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=30, pad=0.02)
        bar.set_label("Share of the true class's images (%)")
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2)


def _print_counts(axes: "Axes", matrix: np.ndarray, shares: np.ndarray, size: float) -> None:
    for row, column in zip(*np.nonzero(matrix), strict=True):
        dark = shares[row, column] > 0.62 * max(float(shares.max()), _LEAST_SCALE)
        colour = FAINT if row == column else "white" if dark else INK
        weight = "normal" if row == column else "bold"
        axes.text(
            column, row, str(matrix[row, column]), ha="center", va="center", size=size, color=colour, weight=weight,
            zorder=3,
        )  # fmt: skip


def _print_accuracies(axes: "Axes", right: np.ndarray, totals: np.ndarray, size: float) -> None:
    """Writes at the end of each row what share of its class is right."""
    said = [f"{100 * hit / total:.1f} %" if total else "no image" for hit, total in zip(right, totals, strict=True)]
    for row, text in enumerate(said):
        axes.annotate(
            text, (1, row), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", size=size, color=FAINT,
        )  # fmt: skip
