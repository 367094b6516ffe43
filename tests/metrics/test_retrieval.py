"""Retrieval metrics against scikit-learn, and the Oxford rule against its loop."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from jaxcnn import ShapeError, metrics

generator = np.random.default_rng(0)
LABELS = generator.random((6, 15)) < 0.3
LABELS[:, 0], LABELS[5] = True, False
SCORES = np.round(generator.random((6, 15)), 1).astype(np.float32)
MASK = generator.random((6, 15)) < 0.7
MASK[:, 0] = True


def oxford(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision as trapezoids between the precision before and after each relevant example."""
    ranks = np.flatnonzero(labels[np.argsort(-scores, kind="stable")])
    total = 0.0
    for j, r in enumerate(ranks):
        before = 1.0 if r == 0 else j / r
        total += (before + (j + 1) / (r + 1)) / 2
    return total / len(ranks)


@jax.jit
def ours() -> Any:
    found = {}
    for name, mask in (("all", None), ("masked", MASK)):
        for rule in ("step", "trapezoid"):
            each = metrics.retrieval_average_precision(LABELS, SCORES, rule=rule, mask=mask)
            found[name, rule] = (each, metrics.mean_average_precision(LABELS, SCORES, rule=rule, mask=mask))
    recalls = [metrics.recall_at_k(LABELS, SCORES, k=k, mask=MASK) for k in (1, 4)]
    return found, recalls


def test_both_rules_and_recall() -> None:
    found, recalls = jax.device_get(ours())
    for (name, rule), (each, mean) in found.items():
        measure = average_precision_score if rule == "step" else oxford
        masks = MASK if name == "masked" else np.ones_like(MASK)
        wanted = [measure(LABELS[q][masks[q]], SCORES[q][masks[q]]) for q in range(5)]
        np.testing.assert_allclose(each[:5], wanted, rtol=1e-5)
        assert np.isnan(each[5])
        np.testing.assert_allclose(mean, np.mean(wanted), rtol=1e-5)
    for k, recall in zip((1, 4), recalls, strict=True):
        best = [np.argsort(-SCORES[q][MASK[q]], kind="stable")[:k] for q in range(5)]
        np.testing.assert_array_equal(recall[:5], [LABELS[q][MASK[q]][best[q]].any() for q in range(5)])
        assert np.isnan(recall[5])


def test_every_measure_counts_the_same_labels_as_relevant() -> None:
    """Grades above 0 are relevant, and -1 marks a missing example."""
    graded = np.where(LABELS, generator.integers(1, 4, LABELS.shape), -1)

    @jax.jit
    def every(labels: np.ndarray) -> Any:
        rules: Any = ("step", "trapezoid")
        each = [metrics.retrieval_average_precision(labels, SCORES, rule=rule) for rule in rules]
        means = [metrics.mean_average_precision(labels, SCORES, rule=rule) for rule in rules]
        return each, means, metrics.recall_at_k(labels, SCORES, k=2)

    jax.tree.map(np.testing.assert_array_equal, every(graded), every(LABELS.astype(int)))


def test_an_example_that_is_left_out_comes_after_scores_of_minus_infinity() -> None:
    scores, mask = np.full((1, 3), -np.inf, np.float32), np.array([[False, True, True]])
    assert metrics.recall_at_k([[1, 1, 0]], scores, k=1, mask=mask).tolist() == [1]
    assert metrics.recall_at_k([[1, 0, 1]], scores, k=1, mask=mask).tolist() == [0]
    assert metrics.nearest_neighbour_accuracy([3], scores, database_labels=[5, 3, 5], mask=mask) == 1


@pytest.mark.parametrize("k", [1, 4])
def test_nearest_neighbours_against_scikit_learn(k: int) -> None:
    database, queries = generator.standard_normal((40, 3)), generator.standard_normal((25, 3))
    classes, truth = generator.integers(0, 4, 40), generator.integers(0, 4, 25)
    distances = np.linalg.norm(queries[:, None] - database, axis=-1)
    model = KNeighborsClassifier(k, algorithm="brute").fit(database, classes)
    found = metrics.nearest_neighbour_accuracy(truth, -distances, database_labels=classes, k=k)
    np.testing.assert_allclose(found, model.score(queries, truth), rtol=1e-6)


def test_a_masked_example_is_no_neighbour() -> None:
    scores = np.array([[1.0, 0.5, 0.2]], np.float32)
    mask = np.array([[False, True, True]])
    found = metrics.nearest_neighbour_accuracy([2], scores, database_labels=[1, 2, 1], mask=mask)
    assert found == 1


def test_only_examples_that_count_vote() -> None:
    scores, classes = np.array([[0.9, 0.5, 0.4]], np.float32), [1, 0, 1]
    accuracy = functools.partial(metrics.nearest_neighbour_accuracy, scores=scores, database_labels=classes)
    assert accuracy([1], k=3, mask=[[False, True, False]]) == 0
    assert accuracy([0], k=3, mask=[[False, True, False]]) == 1
    assert accuracy([1], k=2, mask=[[True, False, False]]) == 1
    assert np.isnan(accuracy([1], mask=[[False, False, False]]))
    assert accuracy([0], k=3, mask=[[True, True, False]]) == 1  # one vote each, and the lowest class


def test_zero_and_minus_zero_are_equal_scores() -> None:
    """``top_k`` of XLA ranks -0 below 0."""
    scores = np.array([[-0.0, 0.0]], np.float32)
    assert metrics.recall_at_k([[1, 0]], scores, k=1).tolist() == [1]
    assert metrics.nearest_neighbour_accuracy([5], scores, database_labels=[5, 3]) == 1


def test_a_score_that_is_no_number_makes_the_measure_none() -> None:
    scores = np.where(np.arange(15) == 3, np.nan, SCORES).astype(np.float32)

    @jax.jit
    def every() -> Any:
        found = [metrics.retrieval_average_precision(LABELS, scores, rule=rule) for rule in ("step", "trapezoid")]
        nearest = metrics.nearest_neighbour_accuracy(np.arange(6), scores, database_labels=np.arange(15))
        return [*found, metrics.recall_at_k(LABELS, scores, k=2), nearest[None]]

    assert all(np.isnan(each).all() for each in every())


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"retrieval_average_precision: rule='oxford' is not known"):
        metrics.retrieval_average_precision(LABELS, SCORES, rule="oxford")  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"labels must be integers .* not float32\. Of degrees of relevance: labels > 0"
    ):
        metrics.recall_at_k(LABELS.astype(np.float32), SCORES, k=1)
    with pytest.raises(ShapeError, match=r"mean_average_precision: labels and scores must have the same shape"):
        metrics.mean_average_precision(LABELS[0], SCORES, rule="step")
    with pytest.raises(ShapeError, match=r"mask and scores must have the same shape"):
        metrics.recall_at_k(LABELS, SCORES, k=1, mask=MASK[0])
    with pytest.raises(ShapeError, match=r"labels and scores must have a last axis of examples, not the shape"):
        metrics.recall_at_k(LABELS[:2, :0], SCORES[:2, :0], k=1)
    with pytest.raises(ValueError, match=r"recall_at_k: k=16 must be from 1 to 15, the number of examples"):
        metrics.recall_at_k(LABELS, SCORES, k=16)
    with pytest.raises(ShapeError, match=r"nearest_neighbour_accuracy: expected labels \(queries,\), database_labels"):
        metrics.nearest_neighbour_accuracy([1, 2], SCORES, database_labels=np.ones(15, int))
