"""Measures of retrieval: how well the scores of a query rank the examples of a database."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.metrics._arrays import as_classes, as_floats, as_numbers, same_shape
from jaxcnn.metrics._counts import gathered
from jaxcnn.metrics._ranking import average_precision

Rule = Literal["step", "trapezoid"]


def retrieval_average_precision(
    labels: ArrayLike, scores: ArrayLike, *, rule: Rule, mask: ArrayLike | None = None
) -> jax.Array:
    """The average precision of each query, by one of two rules that give different numbers.

    - ``"step"``: the mean, over the relevant examples, of the precision down to each, as in ``average_precision``.
    - ``"trapezoid"``: the rule of the Oxford buildings protocol, which averages that precision with the precision just
      before the example: for the relevant example ``j`` at rank ``r``, both counted from 0, ``(j / r + (j + 1) / (r +
      1)) / 2``, with 1 in place of ``j / r`` at rank 0. Equal scores are ranked in the order of the database.

    Args:
        labels: ``(*queries, n)``: above 0, or True, for examples that are relevant to the query.
        scores: of the same shape; higher means nearer.
        rule: of the area under the precision.
        mask: of the same shape; False leaves an example out of the ranking, as the protocol does with junk images and
            with the query.

    Returns:
        ``(*queries,)``, from 0 to 1; NaN for a query without relevant examples, or with a score that is NaN.

    Raises:
        ShapeError: shapes that differ, or no axis of examples.
        ValueError: an unknown rule.
        TypeError: labels that are not integers or booleans.

    Source: Philbin et al. (2007), "Object retrieval with large vocabularies and fast spatial matching", section 3.1;
    ``average_precision_score`` of scikit-learn for the step rule.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> labels, scores = [1, 0, 1], jnp.array([0.9, 0.8, 0.7])
    >>> rules = ("step", "trapezoid")
    >>> [round(float(metrics.retrieval_average_precision(labels, scores, rule=rule)), 4) for rule in rules]
    [0.8333, 0.7917]
    """
    check_choice(rule, get_args(Rule), name="rule")
    relevant, floats, counted = _ranked(labels, scores, mask)
    if rule == "step":
        truth, score, weights = (jnp.moveaxis(each, -1, 0) for each in (relevant, floats, counted))
        return average_precision(truth, score, weights=weights)
    return _trapezoids(relevant, floats, counted)


@jax.jit
def _trapezoids(relevant: jax.Array, floats: jax.Array, counted: jax.Array) -> jax.Array:
    invalid = (jnp.isnan(floats) & counted).any(-1)
    order = jnp.argsort(jnp.where(counted, -floats, jnp.inf), axis=-1, stable=True)
    relevant, counted = (jnp.take_along_axis(each, order, -1) for each in (relevant, counted))
    hits = relevant & counted
    found = jnp.cumsum(hits, -1).astype(floats.dtype)
    rank = jnp.cumsum(counted, -1).astype(floats.dtype)  # from 1
    before = jnp.where(rank > 1, (found - 1) / jnp.maximum(rank - 1, 1), 1)
    area = jnp.where(hits, (before + found / jnp.maximum(rank, 1)) / 2, 0).sum(-1) / hits.sum(-1).astype(floats.dtype)
    return jnp.where(invalid, jnp.nan, area)


def mean_average_precision(
    labels: ArrayLike, scores: ArrayLike, *, rule: Rule, mask: ArrayLike | None = None
) -> jax.Array:
    """The mean of ``retrieval_average_precision`` over the queries that have relevant examples.

    Of detections, ``detection_average_precision`` follows the rules of COCO.

    Args:
        labels: ``(*queries, n)``: above 0, or True, for examples that are relevant to the query.
        scores: of the same shape; higher means nearer.
        rule: ``"step"`` or ``"trapezoid"``.
        mask: of the same shape; False for examples that are left out of the ranking of a query.

    Returns:
        a number from 0 to 1; NaN if no query has relevant examples, or if one that has some has a score that is NaN.

    Raises:
        ShapeError: shapes that differ, or no axis of examples.
        ValueError: an unknown rule.
        TypeError: labels that are not integers or booleans.

    Source: Philbin et al. (2007), "Object retrieval with large vocabularies and fast spatial matching", section 3.1.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> scores = jnp.array([[0.9, 0.8, 0.7], [0.3, 0.2, 0.1], [0.3, 0.2, 0.1]])
    >>> metrics.mean_average_precision([[1, 0, 1], [1, 1, 0], [0, 0, 0]], scores, rule="step").round(4)
    Array(0.9167, dtype=float32)
    """
    each = retrieval_average_precision(labels, scores, rule=rule, mask=mask)
    relevant, _, counted = _ranked(labels, scores, mask)
    return _mean_of(each, relevant, counted)


@jax.jit
def _mean_of(each: jax.Array, relevant: jax.Array, counted: jax.Array) -> jax.Array:
    some = (relevant & counted).any(-1)
    return jnp.where(some, each, 0).sum() / some.sum().astype(each.dtype)


def recall_at_k(labels: ArrayLike, scores: ArrayLike, *, k: int, mask: ArrayLike | None = None) -> jax.Array:
    """Whether a relevant example is among the ``k`` with the highest scores, as 1 or 0 for each query.

    The mean over queries is the Recall@k of metric learning. Equal scores are ranked in the order of the database.

    Args:
        labels: ``(*queries, n)``: above 0, or True, for examples that are relevant to the query.
        scores: of the same shape; higher means nearer.
        k: number of examples that count, at most ``n``.
        mask: of the same shape; False leaves an example out of the ranking, such as the query.

    Returns:
        ``(*queries,)``; NaN for a query without relevant examples, or with a score that is NaN.

    Raises:
        ShapeError: shapes that differ, or no axis of examples.
        ValueError: ``k`` that is not from 1 to ``n``.
        TypeError: labels that are not integers or booleans, or a ``k`` that is not an integer.

    Source: Jégou, Douze and Schmid (2011), "Product quantization for nearest neighbor search", section 5.2; Oh Song et
    al. (2016), "Deep metric learning via lifted structured feature embedding", section 6.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> scores = jnp.array([[0.9, 0.8, 0.7], [0.3, 0.2, 0.1]])
    >>> metrics.recall_at_k([[0, 1, 0], [0, 0, 1]], scores, k=2)
    Array([1., 0.], dtype=float32)
    """
    relevant, floats, counted = _ranked(labels, scores, mask)
    return _found(relevant, floats, counted, _neighbours(k, floats.shape[-1]))


@functools.partial(jax.jit, static_argnums=3)
def _found(relevant: jax.Array, floats: jax.Array, counted: jax.Array, k: int) -> jax.Array:
    invalid = (jnp.isnan(floats) & counted).any(-1) | ~(relevant & counted).any(-1)
    hits = jnp.take_along_axis(relevant & counted, _best(floats, counted, k), -1).any(-1)
    return jnp.where(invalid, jnp.nan, hits.astype(floats.dtype))


def nearest_neighbour_accuracy(
    labels: ArrayLike, scores: ArrayLike, *, database_labels: ArrayLike, k: int = 1, mask: ArrayLike | None = None
) -> jax.Array:
    """The share of queries whose class is that of most of the ``k`` examples with the highest scores.

    Of classes with equally many, the lowest is predicted, as in scikit-learn. Equal scores are ranked in the order of
    the database.

    Args:
        labels: the class of each query, ``(queries,)``.
        scores: ``(queries, n)``; higher means nearer.
        database_labels: the class of each example, ``(n,)``.
        k: number of neighbours that vote, at most ``n``.
        mask: of the shape of the scores; False leaves an example out, such as the query. If fewer than ``k`` are left,
            only these vote.

    Returns:
        a number from 0 to 1; NaN without queries, or if a query has a score that is NaN, or no example that votes.

    Raises:
        ShapeError: shapes that do not fit each other.
        ValueError: ``k`` that is not from 1 to ``n``.
        TypeError: labels that are not integers or booleans, or a ``k`` that is not an integer.

    Source: Cover and Hart (1967), "Nearest neighbor pattern classification"; ``KNeighborsClassifier`` of scikit-learn.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> scores = jnp.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.9]])
    >>> metrics.nearest_neighbour_accuracy([3, 3], scores, database_labels=[3, 5, 7])
    Array(0.5, dtype=float32)
    """
    classes, known = as_classes(labels, name="labels"), as_classes(database_labels, name="database_labels")
    floats = as_floats(scores, name="scores")
    if floats.shape != classes.shape + known.shape or classes.ndim != 1 or known.ndim != 1:
        raise ShapeError(
            f"expected labels (queries,), database_labels (n,) and scores (queries, n); got labels.shape="
            f"{classes.shape}, database_labels.shape={known.shape} and scores.shape={floats.shape}."
        )
    return _right(classes, floats, known, _as_mask(mask, floats), _neighbours(k, floats.shape[-1]))


@functools.partial(jax.jit, static_argnums=4)
def _right(classes: jax.Array, floats: jax.Array, known: jax.Array, counted: jax.Array, k: int) -> jax.Array:
    # A row for each query, split over devices as the queries are: JAX does not index the list itself by split places.
    classes_of = jnp.zeros_like(floats, known.dtype) + gathered(known)[None]
    best = _best(floats, counted, k)
    voters, vote = jnp.take_along_axis(classes_of, best, -1), jnp.take_along_axis(counted, best, -1)
    votes = ((voters[:, :, None] == voters[:, None, :]) & vote[:, None, :]).sum(-1)
    most = vote & (votes == votes.max(-1, keepdims=True, where=vote, initial=0))
    predicted = jnp.where(most, voters, jnp.iinfo(voters.dtype).max).min(-1)
    invalid = (jnp.isnan(floats) & counted).any(-1) | ~counted.any(-1)
    return jnp.where(invalid, jnp.nan, (predicted == classes).astype(floats.dtype)).mean()


def _best(floats: jax.Array, counted: jax.Array, k: int) -> jax.Array:
    """The places of the ``k`` highest scores; examples that do not count come after all that do, also after -inf."""
    lowest = jnp.finfo(floats.dtype).min
    scores = jnp.where(floats == 0, 0, jnp.maximum(floats, lowest))  # top_k ranks -0 below 0
    return jax.lax.top_k(jnp.where(counted, scores, -jnp.inf), k)[1]


def _ranked(labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Whether each example is relevant, its score, and whether it counts, of one shape."""
    relevant = as_classes(labels, name="labels", hint="Of degrees of relevance: labels > 0.")
    floats = as_floats(scores, name="scores")
    same_shape(relevant, floats, names=("labels", "scores"))
    if floats.ndim == 0 or not floats.shape[-1]:
        raise ShapeError(f"labels and scores must have a last axis of examples, not the shape {floats.shape}.")
    return relevant > 0, floats, _as_mask(mask, floats)


def _as_mask(mask: ArrayLike | None, scores: jax.Array) -> jax.Array:
    if mask is None:
        return jnp.ones(scores.shape, bool)
    array = as_numbers(mask, name="mask")
    same_shape(array, scores, names=("mask", "scores"))
    return array.astype(bool)


def _neighbours(k: int, count: int) -> int:
    number = as_int(k, name="k")
    if not 1 <= number <= count:
        raise ValueError(f"k={number} must be from 1 to {count}, the number of examples of the database.")
    return number
