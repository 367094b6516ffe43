"""ROC AUC and average precision against scikit-learn, and the binned versions within their reported error."""

from typing import Any

import jax
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from jaxcnn import ShapeError, metrics

N, PROBLEMS, BINS = 80, 12, 20


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twelve problems: the even ones have many ties, the last ones have few positives."""
    generator = np.random.default_rng(0)
    labels = generator.random((N, PROBLEMS)) < np.linspace(0.6, 0.05, PROBLEMS)
    labels[0], labels[1] = True, False
    scores = np.clip(generator.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    scores[:, ::2] = np.round(scores[:, ::2], 1)
    return labels, scores.astype(np.float32), generator.integers(0, 3, (N, PROBLEMS)).astype(np.float32) + 0.5


@jax.jit
def ours(labels: jax.Array, scores: jax.Array, weights: jax.Array) -> Any:
    state = metrics.ScoreHistogram.empty(num_bins=BINS, shape=(PROBLEMS,))
    for part in (slice(30), slice(30, None)):
        state = state.update(labels[part], scores[part], weights=weights[part])
    exact = [measure(labels, scores, weights=weights) for measure in (metrics.roc_auc, metrics.average_precision)]
    return exact, state.compute()


def test_against_scikit_learn() -> None:
    labels, scores, weights = drawn()
    columns = [(labels[:, i], scores[:, i], weights[:, i]) for i in range(PROBLEMS)]
    for chosen in (np.ones_like(weights), weights):
        (auc, precision), binned = jax.device_get(ours(labels, scores, chosen))
        for index, (truth, score, _) in enumerate(columns):
            each = {"sample_weight": chosen[:, index]}
            np.testing.assert_allclose(auc[index], roc_auc_score(truth, score, **each), rtol=2e-6)
            np.testing.assert_allclose(precision[index], average_precision_score(truth, score, **each), rtol=2e-6)
        assert (np.abs(binned.roc_auc - auc) <= binned.roc_auc_error + 1e-6).all()
        assert (np.abs(binned.average_precision - precision) <= binned.average_precision_error + 1e-6).all()
        # The reported errors are not far larger than the actual ones: the largest difference is at least a fifth of its
        # error.
        assert np.max(np.abs(binned.roc_auc - auc) / binned.roc_auc_error) > 0.2
        assert np.max(np.abs(binned.average_precision - precision) / binned.average_precision_error) > 0.2


def test_the_errors_are_reached_by_the_orders_that_are_worst() -> None:
    """All positives of a bin rank above all its negatives, or all rank below."""
    for first, second in ((0.6, 0.4), (0.4, 0.6)):
        labels = np.array([1] * 3 + [0] * 5)
        scores = (np.where(labels, first, second) + np.arange(8) / 100).astype(np.float32)
        found = metrics.ScoreHistogram.empty(num_bins=1).update(labels, scores).compute()
        assert abs(metrics.roc_auc(labels, scores) - found.roc_auc) == found.roc_auc_error == 0.5
        difference = metrics.average_precision(labels, scores) - found.average_precision
        assert 0.7 * found.average_precision_error < abs(difference) <= found.average_precision_error + 1e-6


def test_what_cannot_be_ranked_is_nan() -> None:
    """A NaN, no positives, no negatives, or no examples at all; a NaN with weight 0 is padding."""
    labels = np.array([[0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).T
    scores = np.array([[0.1, 0.2, np.nan], [1, 1, 1], [1, 2, 3], [0.1, 0.2, np.nan]], np.float32).T
    weights = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]]).T

    @jax.jit
    def every() -> Any:
        state = metrics.ScoreHistogram.empty(shape=(4,)).update(labels, scores, weights=weights)
        exact = [measure(labels, scores, weights=weights) for measure in (metrics.roc_auc, metrics.average_precision)]
        nothing = metrics.roc_auc(labels[:0, 0], scores[:0, 0]), metrics.average_precision(labels[:0], scores[:0])
        return *exact, state.compute(), nothing

    area, precision, binned, nothing = jax.device_get(every())
    for one in (area, binned.roc_auc):
        np.testing.assert_array_equal(one, [np.nan, np.nan, np.nan, 1])
    for one in (precision, binned.average_precision):
        np.testing.assert_array_equal(one, [np.nan, np.nan, 1, 1])
    assert np.isnan(nothing[0]) and np.isnan(nothing[1]).all() and nothing[1].shape == (4,)


def test_scores_outside_count_in_the_outer_bins() -> None:
    state = metrics.ScoreHistogram.empty(num_bins=2).update([0, 1, 0], np.array([-np.inf, np.inf, 0.5], np.float32))
    assert state.positive.value().tolist() == [0, 1] and state.negative.value().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.roc_auc([0, 1], np.ones(3)), ShapeError, r"labels and scores must have the same shape"),
        (lambda: metrics.roc_auc(0, 0.5), ShapeError, r"labels and scores must have a first axis of examples"),
        (lambda: metrics.average_precision([0.0], [0.5]), TypeError, r"labels must be integers or booleans, one class"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
