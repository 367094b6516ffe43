"""Metrics of label maps with unlabelled pixels against scikit-learn, and of boundaries against SciPy's distances."""

import re
from typing import Any

import jax
import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import accuracy_score, balanced_accuracy_score, jaccard_score

from jaxcnn import ShapeError, metrics
from tests.tiers import default_rows


def test_measures_of_label_maps_leave_out_pixels_without_a_label() -> None:
    generator = np.random.default_rng(0)
    truth = generator.choice([0, 1, 2, 3, 255], (2, 9, 7))
    found = np.where(generator.random(truth.shape) < 0.6, truth % 4, generator.integers(0, 4, truth.shape))

    @jax.jit
    def measures(truth: jax.Array, found: jax.Array) -> tuple[jax.Array, ...]:
        matrix = metrics.confusion_matrix(truth, found, num_classes=4)
        return metrics.recall(matrix, average="micro"), metrics.balanced_accuracy(matrix), metrics.mean_iou(matrix)

    true, guessed = truth[truth != 255], found[truth != 255]
    theirs = {
        "pixel accuracy": accuracy_score(true, guessed),
        "class accuracy": balanced_accuracy_score(true, guessed),
        "mean IoU": jaccard_score(true, guessed, average="macro"),
    }
    for ours, (name, value) in zip(measures(truth, found), theirs.items(), strict=True):
        assert float(ours) == pytest.approx(value, abs=1e-6), name
    for name in ("pixel_accuracy", "class_accuracy"):
        with pytest.raises(AttributeError, match=r"Use .* of a confusion_matrix"):
            getattr(metrics, name)


def expected(truth: np.ndarray, found: np.ndarray, tolerance: float, labelled: np.ndarray) -> float:
    """By the definition: boundary pixels one by one, with the distance to the nearest pixel of the other boundary."""

    def boundary(mask: np.ndarray) -> np.ndarray:
        edge = np.zeros_like(mask)
        for row, column in np.argwhere(mask & labelled):
            for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                place = row + down, column + right
                if 0 <= place[0] < mask.shape[0] and 0 <= place[1] < mask.shape[1] and labelled[place]:
                    edge[row, column] |= not mask[place]
        return edge

    one, two = boundary(truth), boundary(found)
    if not one.any() and not two.any():
        return np.nan
    if not one.any() or not two.any():
        return 0.0
    to_one, to_two = (ndimage.distance_transform_edt(~each) for each in (one, two))
    precision, recall = (to_one[two] <= tolerance).mean(), (to_two[one] <= tolerance).mean()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("tolerance", default_rows([0, 1.5, 2], keep=[2]))
def test_boundaries_against_distances(tolerance: float) -> None:
    generator = np.random.default_rng(1)
    maps = ndimage.gaussian_filter(generator.normal(size=(2, 6, 14, 17)), (0, 0, 1.5, 1.5)) > 0
    truth, found = maps
    truth[4], truth[5], found[5] = False, True, True
    labelled = generator.random(truth.shape) < 0.9
    score = jax.jit(lambda a, b, w: metrics.boundary_f1(a, b, tolerance=tolerance, weights=w))
    for weights in (np.ones_like(labelled), labelled):
        wanted = [expected(a, b, tolerance, w) for a, b, w in zip(truth, found, weights, strict=True)]
        np.testing.assert_allclose(score(truth, found, weights), wanted, atol=1e-6)
        assert wanted[4] == 0 and np.isnan(wanted[5]) and 0 < np.nanmean(wanted) < 1


@pytest.mark.parametrize(
    ("masks", "predictions", "tolerance", "error", "message"),
    [
        (
            np.zeros((3, 3), bool),
            np.zeros((3, 4), bool),
            1,
            ShapeError,
            "masks and predictions must have the same shape",
        ),
        (np.zeros(3, bool), np.zeros(3, bool), 1, ShapeError, "masks must have the shape (*batch, height, width)"),
        (np.zeros((3, 3), bool), np.zeros((3, 3), bool), -1, ValueError, "tolerance=-1 must be a distance in pixels"),
        (np.zeros((3, 3)), np.zeros((3, 3), bool), 1, TypeError, "masks must be integers or booleans"),
    ],
)
def test_refusals(masks: Any, predictions: Any, tolerance: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(f"boundary_f1: {message}")):
        metrics.boundary_f1(masks, predictions, tolerance=tolerance)
