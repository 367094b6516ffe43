"""Measures of a ranking by scores, exact and of all scores at once: ROC AUC and average precision."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike
from jaxcnn._errors import ShapeError
from jaxcnn.metrics._arrays import as_classes, as_floats, as_weights, same_shape
from jaxcnn.metrics._counts import gathered


def roc_auc(labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    """The probability that a positive example has a higher score than a negative one, ties counted as half.

    Equal to the area under the receiver operating characteristic. All scores are sorted, so they must be in memory:
    there is no running form that is exact. ``ScoreHistogram`` is one with a known error.

    Args:
        labels: ``(n, ...)``: 1 or True for positive examples, 0 or False for negative ones. Axes after the first are
            separate problems, such as the classes of a multi-label task.
        scores: of the same shape; higher means positive.
        weights: ``(n,)`` or of the shape of the labels; a mask of booleans leaves examples out.

    Returns:
        ``(...)``, from 0 to 1; NaN where there are no positive or no negative examples, or where a score is NaN.

    Raises:
        ShapeError: shapes that differ, or no axis of examples.
        TypeError: labels that are not integers or booleans.

    Source: Fawcett (2006), "An introduction to ROC analysis", section 7; ``roc_auc_score`` of scikit-learn.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.roc_auc([0, 0, 1, 1], jnp.array([0.1, 0.4, 0.35, 0.8]))
    Array(0.75, dtype=float32)
    """
    return _each(_roc_auc, labels, scores, weights)


def average_precision(labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    """The mean, over the positive examples, of the precision of all examples with at least their score.

    Equal to ``sum over n of (R[n] - R[n - 1]) P[n]`` with precision ``P`` and recall ``R`` at each score, without
    interpolation. All scores are sorted, so they must be in memory; ``ScoreHistogram`` is a running form with a known
    error. ``detection_average_precision`` follows the rules of COCO, which interpolate.

    Args:
        labels: as in ``roc_auc``.
        scores: of the same shape; higher means positive.
        weights: ``(n,)`` or of the shape of the labels.

    Returns:
        ``(...)``, from 0 to 1; NaN where there are no positive examples, or where a score is NaN.

    Raises:
        ShapeError: shapes that differ, or no axis of examples.
        TypeError: labels that are not integers or booleans.

    Source: Manning, Raghavan and Schütze (2008), "Introduction to information retrieval", section 8.4;
    ``average_precision_score`` of scikit-learn.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.average_precision([0, 0, 1, 1], jnp.array([0.1, 0.4, 0.35, 0.8])).round(4)
    Array(0.8333, dtype=float32)
    """
    return _each(_average_precision, labels, scores, weights)


def _each(
    measure: Callable[..., jax.Array], labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None
) -> jax.Array:
    """The measure of each problem, from its scores and the weights of its positive and negative examples."""
    classes, floats = as_classes(labels, name="labels"), as_floats(scores, name="scores")
    same_shape(classes, floats, names=("labels", "scores"))
    if floats.ndim == 0:
        raise ShapeError("labels and scores must have a first axis of examples, but they are single numbers.")
    each = as_weights(weights, floats.shape, floats.dtype)
    floats = jnp.where(each == 0, 0, floats)  # the NaN of a padded example does not count
    positive, negative = jnp.where(classes == 1, each, 0), jnp.where(classes == 1, 0, each)
    for _ in range(floats.ndim - 1):
        measure = jax.vmap(measure, -1, -1)
    return measure(gathered(floats), gathered(positive), gathered(negative))


def _by_score(scores: jax.Array, positive: jax.Array, negative: jax.Array) -> tuple[jax.Array, ...]:
    """The weights of the positive examples by descending score, and sums of weights for each.

    The sums are those of the positives and of the negatives with at least its score, and of the negatives above it.
    """
    order = jnp.argsort(-scores)
    scores, positive, negative = scores[order], positive[order], negative[order]
    change, end = scores[1:] != scores[:-1], jnp.ones(min(len(scores), 1), bool)
    first, last = jnp.concatenate([end, change]), jnp.concatenate([change, end])  # of equal scores
    false = jnp.cumsum(negative)

    def through_ties(sums: jax.Array) -> jax.Array:
        return lax.cummin(jnp.where(last, sums, jnp.inf), reverse=True)

    above = lax.cummax(jnp.where(first, false - negative, 0))
    return positive, through_ties(jnp.cumsum(positive)), through_ties(false), above


@jax.jit
def _roc_auc(scores: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    each, _, false, above = _by_score(scores, positive, negative)
    area = (each * (1 - (false + above) / (2 * negative.sum()))).sum() / positive.sum()
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, area)


@jax.jit
def _average_precision(scores: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    each, hits, false, _ = _by_score(scores, positive, negative)
    share = jnp.where(each > 0, hits / jnp.where(each > 0, hits + false, 1), 0)
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, (each * share).sum() / positive.sum())
