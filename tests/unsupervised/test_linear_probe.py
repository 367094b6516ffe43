"""The linear probe finds the same optimum as scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from jaxcnn import unsupervised
from jaxcnn._errors import ShapeError


def classes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that overlap, with features at scales from 0.01 to 100 and far from 0, and a constant feature."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, count)
    centres = draw.normal(size=(3, 4))
    features = (centres[labels] + draw.normal(size=(count, 4))) * [0.01, 1, 10, 100] + [1, 0, 50, -1000]
    return np.concatenate([features, np.full((count, 1), 7.0)], 1), labels


@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_it_is_logistic_regression_on_scaled_features(l2: float) -> None:
    features, labels = classes(400)
    scaler = StandardScaler().fit(features)
    sklearn: Any = LogisticRegression(C=1 / (400 * l2), tol=1e-8, max_iter=2000)
    sklearn.fit(scaler.transform(features), labels)
    others, _ = classes(50)
    logits = np.asarray(unsupervised.linear_probe(features, labels, l2=l2)(others))
    expected = sklearn.decision_function(scaler.transform(others))
    shift = [array - array.mean(-1, keepdims=True) for array in (logits, expected)]  # the softmax does not depend on it
    np.testing.assert_allclose(shift[0], shift[1], atol=5e-3)


def test_it_is_the_same_each_time() -> None:
    features, labels = classes(100)
    first, second = (unsupervised.linear_probe(features, labels).kernel for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("features", "labels", "options", "error", "message"),
    [
        (np.ones(3), [0, 1, 0], {}, ShapeError, r"expected features \(n, features\) and labels \(n,\), got \(3,\)"),
        (np.ones((3, 2)), [0, 1], {}, ShapeError, r"got \(3, 2\) and \(2,\)"),
        (np.ones((2, 2)), [0.0, 1.0], {}, TypeError, "expected integers as labels, got float64"),
        (np.ones((2, 2)), [0, -1], {}, ValueError, "expected labels from 0 on, got -1"),
        (np.full((2, 2), np.nan), [0, 1], {}, ValueError, "expected finite features"),
        (np.ones((2, 2)), [0, 1], {"l2": 0.0}, ValueError, "expected a positive l2, got 0.0"),
    ],
)
def test_other_arguments_are_refused(
    features: Any, labels: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        unsupervised.linear_probe(features, labels, **options)
