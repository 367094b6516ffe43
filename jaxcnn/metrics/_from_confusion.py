"""Measures that follow from a confusion matrix, of examples or of pixels."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.metrics._arrays import as_floats

Average = Literal["macro", "micro", "weighted"]


def balanced_accuracy(matrix: ArrayLike) -> jax.Array:
    """The mean of the recalls of the classes that have examples: of ``matrix[i, i] / sum over j of matrix[i, j]``.

    Args:
        matrix: ``(..., classes, classes)`` as ``confusion_matrix`` gives it: rows are labels, columns predictions.

    Returns:
        ``(...)``, from 0 to 1; NaN without examples.

    Raises:
        ShapeError: not a square matrix.

    Source: Brodersen et al. (2010), "The balanced accuracy and its posterior distribution"; ``balanced_accuracy_score``
    of scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.balanced_accuracy([[6.0, 2.0], [1.0, 1.0]])
    Array(0.625, dtype=float32)
    """
    hits, truth, _ = _sums(matrix)
    return jnp.nanmean(_ratio(hits, truth, present=truth > 0), -1)


def precision(matrix: ArrayLike, *, average: Average | None = "macro") -> jax.Array:
    """Of the examples predicted as a class, the share that are of it: ``matrix[i, i] / sum over k of matrix[k, i]``.

    Args:
        matrix: ``(..., classes, classes)`` as ``confusion_matrix`` gives it: rows are labels, columns predictions.
        average: ``"macro"`` is the mean over classes, ``"weighted"`` the same weighted by their numbers of examples,
            ``"micro"`` the share over all predictions; None gives one number for each class.

    Returns:
        ``(...)``, or ``(..., classes)`` for None. A class that is never predicted has 0; one that has no examples
        either has NaN, and is left out of means.

    Raises:
        ShapeError: not a square matrix.
        ValueError: an average that is not known.

    Source: ``precision_score`` of scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.precision([[6.0, 2.0], [2.0, 2.0]], average=None)
    Array([0.75, 0.5 ], dtype=float32)
    """
    hits, truth, found = _sums(matrix)
    return _average(hits, found, truth, truth + found, average)


def recall(matrix: ArrayLike, *, average: Average | None = "macro") -> jax.Array:
    """Of the examples of a class, the share that are predicted as it: ``matrix[i, i] / sum over j of matrix[i, j]``.

    With ``average="micro"`` this is the accuracy: of pixels, the pixel accuracy.

    Args:
        matrix: as in ``precision``.
        average: as in ``precision``.

    Returns:
        ``(...)``, or ``(..., classes)`` for None. A class without examples has 0 where it is predicted; otherwise NaN,
        and it is left out of means.

    Raises:
        ShapeError: not a square matrix.
        ValueError: an average that is not known.

    Source: ``recall_score`` of scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.recall([[6.0, 2.0], [2.0, 2.0]], average=None)
    Array([0.75, 0.5 ], dtype=float32)
    """
    hits, truth, found = _sums(matrix)
    return _average(hits, truth, truth, truth + found, average)


def f1(matrix: ArrayLike, *, average: Average | None = "macro") -> jax.Array:
    """The harmonic mean of precision and recall, ``2 matrix[i, i] / (sum of row i + sum of column i)``.

    For pixels, it is the Dice coefficient over the whole set; ``dice`` computes that of each mask.

    Args:
        matrix: as in ``precision``.
        average: as in ``precision``.

    Returns:
        ``(...)``, or ``(..., classes)`` for None; NaN for a class that has neither examples nor predictions.

    Raises:
        ShapeError: not a square matrix.
        ValueError: an average that is not known.

    Source: ``f1_score`` of scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.f1([[6.0, 2.0], [2.0, 2.0]], average=None)
    Array([0.75, 0.5 ], dtype=float32)
    """
    hits, truth, found = _sums(matrix)
    return _average(2 * hits, truth + found, truth, truth + found, average)


def iou(matrix: ArrayLike) -> jax.Array:
    """The intersection over the union of each class, ``matrix[i, i] / (row i + column i - matrix[i, i])``.

    Args:
        matrix: ``(..., classes, classes)`` of pixels, as ``confusion_matrix`` gives it.

    Returns:
        ``(..., classes)``; NaN for a class that has neither labels nor predictions.

    Raises:
        ShapeError: not a square matrix.

    Source: Everingham et al. (2010), "The Pascal visual object classes challenge", section 4.2.3; ``jaccard_score`` of
    scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.iou([[6.0, 2.0], [2.0, 2.0]])
    Array([0.6       , 0.33333334], dtype=float32)
    """
    hits, truth, found = _sums(matrix)
    return _ratio(hits, truth + found - hits, present=truth + found > 0)


def mean_iou(matrix: ArrayLike) -> jax.Array:
    """The mean of ``iou`` over the classes that have labels or predictions.

    Apply it to the confusion matrix of a whole split: the mean over single images is another number.

    Args:
        matrix: ``(..., classes, classes)`` of pixels, as ``confusion_matrix`` gives it.

    Returns:
        ``(...)``, from 0 to 1; NaN without pixels.

    Raises:
        ShapeError: not a square matrix.

    Source: Long, Shelhamer and Darrell (2015), "Fully convolutional networks for semantic segmentation", section 5.

    >>> from jaxcnn import metrics
    >>> metrics.mean_iou([[6.0, 2.0], [2.0, 2.0]])
    Array(0.4666667, dtype=float32)
    """
    return jnp.nanmean(iou(matrix), -1)


def _sums(matrix: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For each class: the hits, the weight of its examples, and the weight of its predictions."""
    counts = as_floats(matrix, name="matrix")
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2] or not counts.shape[-1]:
        raise ShapeError(
            f"matrix must have the shape (..., classes, classes), but matrix.shape={counts.shape}. "
            f"Of labels and predictions: confusion_matrix(labels, predictions, num_classes=...)."
        )
    return jnp.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


def _ratio(part: jax.Array, whole: jax.Array, *, present: jax.Array) -> jax.Array:
    """``part / whole``, 0 for 0 / 0, NaN for a class that is not present."""
    return jnp.where(present, part / jnp.where(whole > 0, whole, 1), jnp.nan)


def _average(
    part: jax.Array, whole: jax.Array, truth: jax.Array, either: jax.Array, average: Average | None
) -> jax.Array:
    """The ratios of the classes, or one of their averages."""
    if average is None:
        return _ratio(part, whole, present=either > 0)
    check_choice(average, get_args(Average), name="average")
    if average == "micro":
        return part.sum(-1) / whole.sum(-1)
    ratios = _ratio(part, whole, present=either > 0)
    if average == "macro":
        return jnp.nanmean(ratios, -1)
    return jnp.where(truth > 0, ratios * truth, 0).sum(-1) / truth.sum(-1)
