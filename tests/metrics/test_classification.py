"""Accuracy, top-k accuracy, Brier score and measures of a confusion matrix, against scikit-learn."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn

from jaxcnn import ShapeError, metrics
from tests.compiled import compiled_functions

CLASSES = 5
compiled = compiled_functions(metrics)


def drawn(seed: int, n: int = 60, *, absent: bool = False) -> dict[str, np.ndarray]:
    """Labels, probabilities and weights.

    With ``absent``, class 3 has no labels, and class 4 has neither labels nor predictions.
    """
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, CLASSES)).astype(np.float32)
    labels = generator.integers(0, 3 if absent else CLASSES, n)
    logits[:, 4] -= 100 * absent
    logits[np.arange(n), labels] += 1
    weights = generator.integers(0, 4, n).astype(np.float32)
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return {"labels": labels, "scores": scores, "weights": weights}


@jax.jit
def ours(labels: jax.Array, scores: jax.Array, weights: jax.Array) -> dict[str, Any]:
    predictions = scores.argmax(-1)
    matrix = metrics.confusion_matrix(labels, predictions, num_classes=CLASSES, weights=weights)
    averages = ("macro", "micro", "weighted")
    return {
        "accuracy": metrics.accuracy(labels, predictions, weights=weights),
        "top 2": metrics.top_k_accuracy(labels, scores, k=2, weights=weights),
        "matrix": matrix,
        "balanced accuracy": metrics.balanced_accuracy(matrix),
        "precision": [metrics.precision(matrix, average=average) for average in averages],
        "recall": [metrics.recall(matrix, average=average) for average in averages],
        "f1": [metrics.f1(matrix, average=average) for average in averages],
        "iou": metrics.mean_iou(matrix),
        "each": [measure(matrix, average=None) for measure in (metrics.precision, metrics.recall, metrics.f1)],
        "each iou": metrics.iou(matrix),
        "brier": metrics.brier_score(labels, scores, weights=weights),
        "binary brier": metrics.brier_score(labels == 0, scores[:, 0], weights=weights),
    }


def theirs(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    predictions, classes = scores.argmax(-1), np.arange(CLASSES)
    scores = scores.astype(np.float64)
    each = {"sample_weight": weights, "zero_division": 0}
    present = np.isin(classes, np.concatenate([labels[weights > 0], predictions[weights > 0]]))

    def by_class(measure: Any) -> np.ndarray:
        return np.where(present, measure(labels, predictions, average=None, labels=classes, **each), np.nan)

    def averages(measure: Any) -> list[float]:
        return [measure(labels, predictions, average=name, labels=classes[present], **each) for name in AVERAGES]

    of_present = [sklearn.recall_score(labels, predictions, average=None, labels=classes, **each)]
    return {
        "accuracy": sklearn.accuracy_score(labels, predictions, sample_weight=weights),
        "top 2": sklearn.top_k_accuracy_score(labels, scores, k=2, labels=classes, sample_weight=weights),
        "matrix": sklearn.confusion_matrix(labels, predictions, labels=classes, sample_weight=weights),
        "balanced accuracy": of_present[0][np.unique(labels[weights > 0])].mean(),
        "precision": averages(sklearn.precision_score),
        "recall": averages(sklearn.recall_score),
        "f1": averages(sklearn.f1_score),
        "iou": sklearn.jaccard_score(labels, predictions, average="macro", labels=classes[present], **each),
        "each": [by_class(m) for m in (sklearn.precision_score, sklearn.recall_score, sklearn.f1_score)],
        "each iou": by_class(sklearn.jaccard_score),
        "brier": sklearn.brier_score_loss(
            labels, scores / scores.sum(1, keepdims=True), labels=classes, sample_weight=weights
        ),
        "binary brier": sklearn.brier_score_loss(labels == 0, scores[:, 0], sample_weight=weights),
    }


AVERAGES = ("macro", "micro", "weighted")


@pytest.mark.parametrize("absent", [False, True])
def test_against_scikit_learn(absent: bool) -> None:
    for seed in range(4):
        arrays = drawn(seed, absent=absent)
        got, expected = jax.device_get(ours(**arrays)), theirs(**arrays)
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, rtol=2e-6, atol=1e-7, err_msg=name)
    assert not absent or np.isnan(expected["each iou"]).any()


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    arrays = drawn(7)
    predictions = arrays["scores"].argmax(-1)
    matrix = compiled.confusion_matrix(arrays["labels"], predictions, num_classes=CLASSES)
    expected = sklearn.balanced_accuracy_score(arrays["labels"], predictions)
    np.testing.assert_allclose(compiled.balanced_accuracy(matrix), expected, rtol=1e-6)


def test_ties_and_nan_in_top_k() -> None:
    """Of equal scores the lower class comes first.

    A NaN precedes all numbers, so no example with a NaN counts as correct.
    """
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 3, (200, 6)).astype(np.float32)
    labels = generator.integers(0, 6, 200)
    for k in (1, 2, 4):
        expected = (np.asarray(jax.lax.top_k(scores, k)[1]) == labels[:, None]).any(-1)
        np.testing.assert_array_equal(metrics.in_top_k(labels, scores, k=k), expected)
    spoilt = jnp.array([[jnp.nan, 1.0, 0.0], [1.0, jnp.nan, 0.0], [1.0, 0.5, 0.0]])
    assert metrics.in_top_k([0, 0, 0], spoilt, k=1).tolist() == [False, False, True]
    assert metrics.in_top_k([0, 0, 3], spoilt, k=2).tolist() == [False, True, False]


def test_pixels_and_masks() -> None:
    """Labels of pixels with one weight for each image; pixels without a class, and examples that are padding."""
    generator = np.random.default_rng(1)
    labels, predictions = generator.integers(0, 4, (2, 3, 5, 4))
    labels[0, 0] = 255
    labels[1, 1], predictions[2, 2] = -1, 9
    mask = np.array([True, False, True])
    keep = (labels >= 0) & (labels < 4) & (predictions < 4) & mask[:, None, None]
    expected = sklearn.confusion_matrix(labels[keep], predictions[keep], labels=range(4))
    got = compiled.confusion_matrix(labels, predictions, num_classes=4, weights=mask)
    np.testing.assert_array_equal(got, expected)
    spoilt = np.where(mask[:, None], generator.random((3, 2)), np.nan).astype(np.float32)
    np.testing.assert_allclose(
        compiled.brier_score([0, 0, 1], spoilt, weights=mask), compiled.brier_score([0, 1], spoilt[mask]), rtol=1e-6
    )


def test_nothing_is_nan() -> None:
    none = np.zeros(0, int)
    matrix = compiled.confusion_matrix(none, none, num_classes=3)
    values = [compiled.accuracy(none, none), compiled.balanced_accuracy(matrix), compiled.mean_iou(matrix)]
    values += [compiled.f1(matrix, average=average) for average in AVERAGES]
    assert np.isnan(values).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: metrics.accuracy([0, 1], [0]),
            ShapeError,
            r"^accuracy: labels and predictions must have the same shape, but l",
        ),
        (lambda: metrics.accuracy([0], [0.5]), TypeError, r"predictions must be integers or booleans.*scores.argmax"),
        (lambda: metrics.accuracy(["cat"], [0]), TypeError, r"labels must be an array of numbers, not a list of str"),
        (
            lambda: metrics.accuracy([0, 1], [0, 1], weights=[1.0]),
            ShapeError,
            r"weights must have the shape \(2,\), or the first axes of it, but weights.shape=\(1,\)",
        ),
        (
            lambda: metrics.in_top_k([0, 1], np.ones(2), k=1),
            ShapeError,
            r"scores must have the shape of labels and an axis of classes after it, but labels.shape=\(2,\)",
        ),
        (lambda: metrics.in_top_k([0], np.ones((1, 3)), k=4), ValueError, r"k=4 must be from 1 to .* classes, 3"),
        (lambda: metrics.in_top_k([0], np.ones((1, 3)), k=1.5), TypeError, r"k .*integer, not 1.5"),
        (
            lambda: metrics.brier_score([0], np.ones((2, 3))),
            ShapeError,
            r"probabilities must have the shape of labels, or an axis of classes more",
        ),
        (
            lambda: metrics.confusion_matrix([0], [0], num_classes=0),
            ValueError,
            r"^confusion_matrix: num_classes=0 must be at least 1",
        ),
        (
            lambda: metrics.confusion_matrix([0], [0], num_classes="3"),
            TypeError,
            r"num_classes .*integer, not '3'",
        ),
        (
            lambda: metrics.f1([0, 1, 1]),
            ShapeError,
            r"matrix must have the shape \(..., classes, classes\), but matrix.shape=\(3,\). Of labels.*: confus",
        ),
        (
            lambda: metrics.f1(np.eye(2), average="makro"),
            ValueError,
            r"average='makro' is not known. Did you mean 'macro'",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
