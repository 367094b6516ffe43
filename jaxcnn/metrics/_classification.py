"""Measures that are means over examples: accuracy, top-k accuracy, Brier score."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.metrics._arrays import as_classes, as_floats, same_shape, scores_of_classes, weighted_mean


def accuracy(labels: ArrayLike, predictions: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    """The share of predictions that equal their label: ``sum of w * (prediction == label) / sum of w``.

    Args:
        labels: integers of any shape: ``(n,)`` for images, ``(n, height, width)`` for pixels.
        predictions: integers of the same shape.
        weights: of the shape of the labels, or of their first axes; a mask of booleans leaves examples out.

    Returns:
        a number from 0 to 1; NaN where the weights add up to 0.

    Raises:
        ShapeError: shapes that differ.
        TypeError: labels or predictions that are not integers.

    Source: ``accuracy_score`` of scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.accuracy([0, 1, 2, 2], [0, 1, 1, 2])
    Array(0.75, dtype=float32)
    """
    labels, predictions = as_classes(labels, name="labels"), as_classes(predictions, name="predictions")
    same_shape(labels, predictions, names=("labels", "predictions"))
    return weighted_mean((labels == predictions).astype(jnp.float32), weights)


def in_top_k(labels: ArrayLike, scores: ArrayLike, *, k: int) -> jax.Array:
    """For each example, whether the class of its label has one of the ``k`` highest scores.

    Of equal scores the lower class comes first, as in ``jax.lax.top_k`` and ``argmax``. NaN is above every number, and
    a label whose own score is NaN is not among the highest.

    Args:
        labels: integers ``(...)``.
        scores: ``(..., classes)``; probabilities, logits or other scores.
        k: from 1 to the number of classes.

    Returns:
        booleans of the shape of the labels: False for a label that is no class.

    Raises:
        ShapeError: scores of another shape.
        ValueError: ``k`` outside its range.
        TypeError: labels that are not integers, or ``k`` that is not an integer.

    Source: ``in_top_k`` of TensorFlow; Russakovsky et al. (2015), section 4.1, for k = 5.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.in_top_k([0, 2], jnp.array([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4]]), k=2)
    Array([False,  True], dtype=bool)
    """
    labels, scores = scores_of_classes(labels, scores, name="scores")
    classes = scores.shape[-1]
    k = as_int(k, name="k")
    if not 1 <= k <= classes:
        raise ValueError(f"k={k} must be from 1 to the number of classes, {classes}.")
    return _ahead(labels, scores) < k


@jax.jit
def _ahead(labels: jax.Array, scores: jax.Array) -> jax.Array:
    """The number of classes that come before that of the label; for a label that is not a class, all classes."""
    classes = scores.shape[-1]
    known = (labels >= 0) & (labels < classes)
    own = jnp.take_along_axis(scores, jnp.where(known, labels, 0)[..., None], -1)
    earlier = jax.lax.broadcasted_iota(labels.dtype, scores.shape, scores.ndim - 1) < labels[..., None]
    return jnp.where(known, (~(scores <= own) | ((scores == own) & earlier)).sum(-1), classes)


def top_k_accuracy(labels: ArrayLike, scores: ArrayLike, *, k: int, weights: ArrayLike | None = None) -> jax.Array:
    """The share of examples whose label has one of the ``k`` highest scores: the mean of ``in_top_k``.

    Args:
        labels: integers ``(...)``.
        scores: ``(..., classes)``.
        k: from 1 to the number of classes.
        weights: of the shape of the labels, or of their first axes.

    Returns:
        a number from 0 to 1; NaN where the weights add up to 0.

    Raises:
        ShapeError: shapes that do not fit each other.
        ValueError: ``k`` outside its range.
        TypeError: labels that are not integers, or ``k`` that is not an integer.

    Source: ``top_k_accuracy_score`` of scikit-learn.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.top_k_accuracy([0, 2], jnp.array([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4]]), k=2)
    Array(0.5, dtype=float32)
    """
    return weighted_mean(in_top_k(labels, scores, k=k).astype(jnp.float32), weights)


def brier_score(labels: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    """The mean squared difference between probabilities and outcomes; 0 is best.

    With two outcomes, ``mean of (p - y)**2``: from 0 to 1. With several classes, ``mean of the sum over classes of
    (p - one_hot(y))**2``: from 0 to 2, and twice the former where there are two classes.

    Args:
        labels: 0 and 1, or booleans, of the shape of the probabilities; or classes ``(...)``.
        probabilities: those of outcome 1; or ``(..., classes)``.
        weights: of the shape of the labels, or of their first axes.

    Returns:
        a number; NaN where the weights add up to 0.

    Raises:
        ShapeError: shapes that do not fit each other.
        TypeError: labels that are not integers.

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability"; ``brier_score_loss`` of
    scikit-learn.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.brier_score([1, 0], jnp.array([0.5, 0.0])), metrics.brier_score([1], jnp.array([[0.5, 0.5]]))
    (Array(0.125, dtype=float32), Array(0.5, dtype=float32))
    """
    classes, p = as_classes(labels, name="labels"), as_floats(probabilities, name="probabilities")
    if p.shape == classes.shape:
        return weighted_mean((p - classes.astype(p.dtype)) ** 2, weights)
    if p.shape[:-1] != classes.shape:
        raise ShapeError(
            f"probabilities must have the shape of labels, or an axis of classes more, but labels.shape="
            f"{classes.shape} and probabilities.shape={p.shape}."
        )
    return weighted_mean(((p - jax.nn.one_hot(classes, p.shape[-1], dtype=p.dtype)) ** 2).sum(-1), weights)
