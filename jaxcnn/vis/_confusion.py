"""A picture of a confusion matrix that emphasises the misclassifications."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn.vis._canvas import FAINT, INK, PAPER, new_figure, no_frame, save_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES_WITH_COUNTS = 30
_LONGEST_NAME = 24
# The scale of the colours extends at least to this percentage, so that a single mistake is not the darkest red.
_LEAST_SCALE = 10.0


def draw_confusion(
    matrix: ArrayLike, class_names: Sequence[str], path: str | os.PathLike[str], *, unit: str = "images"
) -> None:
    """Writes the picture of ``confusion_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        matrix: as in ``confusion_figure``.
        class_names: as in ``confusion_figure``.
        path: of the file.
        unit: as in ``confusion_figure``.

    Raises:
        TypeError: a matrix that does not hold numbers.
        ValueError: a matrix that is not square, empty, negative or fractional, another number of names, or an unknown
            suffix.

    >>> draw_confusion(np.eye(2, dtype=int), ("cat", "dog"), "confusion.tiff")
    Traceback (most recent call last):
    ValueError: draw_confusion: a picture is written as .pdf, .png or .svg, but the path is confusion.tiff.
    """
    save_figure(confusion_figure(matrix, class_names, unit=unit), path)


def confusion_figure(matrix: ArrayLike, class_names: Sequence[str], *, unit: str = "images") -> "Figure":
    """Draws a confusion matrix with misclassifications coloured by their share of the true class.

    The diagonal is grey. Counts are printed for up to 30 classes.

    Args:
        matrix: ``(classes, classes)``, whole numbers, such as from ``metrics.confusion_matrix``; rows are true
            classes, columns predicted ones.
        class_names: a name for each class; long ones are cut.
        unit: the plural of what is counted, such as ``"pixels"``.

    Raises:
        TypeError: a matrix that does not hold numbers.
        ValueError: a matrix that is not square, empty, negative or fractional, or another number of names.

    >>> confusion_figure(np.array([[9, 1], [0, 10]]), ("cat", "dog")).axes[0].get_title(loc="left")
    '95.00 % right: 19 of 20 images'
    """
    counts = _checked(matrix, class_names)
    totals, right = counts.sum(axis=1), np.diagonal(counts)
    shares = 100 * counts / np.maximum(totals, 1)[:, None]
    np.fill_diagonal(shares, 0)
    count, every = len(counts), int(counts.sum())
    names = [shortened(str(name), _LONGEST_NAME) for name in class_names]
    with style():
        side = min(7.5, 2.4 + 0.36 * count)
        figure = new_figure(side + 1.3, side + 0.6)
        figure.set_layout_engine("constrained", h_pad=0.12)
        axes = figure.add_subplot()
        _draw_shares(figure, axes, shares, unit)
        sparse = count <= _MOST_CLASSES_WITH_COUNTS
        size = float(np.clip(200 / count, 3.2, 8))
        if sparse:
            _print_counts(axes, counts, shares, size)
        axes.set_title(f"{100 * right.sum() / every:.2f} % right: {right.sum():,} of {every:,} {unit}", weight="bold")
        flat = max(map(len, names)) * 0.62 * size / 72 < side / count / 1.4  # inches of a name, of a column
        axes.set_xticks(range(count), names, size=size, rotation=0 if flat else 90)
        axes.set_yticks(range(count), names, size=size, va="center")
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class")
        no_frame(axes)
        if sparse:
            _print_accuracies(axes, right, totals, size)
    return figure


def _checked(counts: ArrayLike, class_names: Sequence[str]) -> np.ndarray:
    matrix = np.asarray(counts)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"the matrix must have a row and a column for each class, not the shape {matrix.shape}.")
    if len(class_names) != len(matrix):
        raise ValueError(f"{len(matrix)} classes require as many names, not {len(class_names)}.")
    if matrix.dtype.kind not in "uif":
        raise TypeError(f"the matrix must hold counts, not {matrix.dtype}.")
    if not np.isfinite(matrix).all():
        raise ValueError(f"counts must be finite, but one is {matrix[~np.isfinite(matrix)][0]}.")
    if matrix.dtype.kind == "f" and (fractional := matrix[matrix != np.round(matrix)]).size:
        raise ValueError(f"counts must be whole numbers, but one is {fractional[0]}.")
    if (matrix < 0).any():
        raise ValueError(f"counts cannot be negative, but one is {matrix.min()}.")
    matrix = matrix.astype(np.int64)
    if not matrix.sum():
        raise ValueError("all counts of the matrix are 0.")
    return matrix


def _draw_shares(figure: "Figure", axes: "Axes", shares: np.ndarray, unit: str) -> None:
    """Colours the mistakes; the diagonal is grey and counts of 0 are white."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    # A single mistake must be visible, so the scale does not start at white.
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
        bar.set_label(f"Share of the true class's {unit} (%)")
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
    """Writes the accuracy of each class at the end of its row."""
    texts = [f"{100 * hit / total:.1f} %" if total else "none" for hit, total in zip(right, totals, strict=True)]
    for row, text in enumerate(texts):
        axes.annotate(
            text, (1, row), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", size=size, color=FAINT,
        )  # fmt: skip
