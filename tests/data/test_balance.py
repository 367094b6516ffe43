"""Class weights under which every class has the same total weight."""

from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from jaxcnn import data


def test_weights_are_those_of_scikit_learn() -> None:
    labels = np.random.default_rng(0).geometric(0.4, 300)  # classes from 1 on, some of them absent
    weights = data.balanced_weights(labels)
    np.testing.assert_allclose(weights, compute_sample_weight("balanced", labels), rtol=1e-6)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.zeros(3), TypeError, "expected labels as a NumPy array of integers, got float64"),
        ([0, 1], TypeError, "expected labels as a NumPy array of integers, got <class 'list'>"),
        (np.zeros((2, 2), int), ValueError, r"expected one label for each example, \(n,\), got .* shape \(2, 2\)"),
        (np.zeros(0, int), ValueError, r"got labels of the shape \(0,\)"),
    ],
)
def test_other_labels_are_refused(labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.balanced_weights(labels)
