"""The experiments that learn kernels without labels, on few images."""

from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import data, unsupervised
from jaxcnn.train import Experiment, Trained
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._state import create_state
from tests.train.test_dry_run import EXPERIMENTS, stand_in


@pytest.fixture(autouse=True)
def random_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", stand_in)


def built(name: str, **settings: Any) -> Experiment:
    (path,) = [path for path in EXPERIMENTS if path.stem == name]
    file = load_experiment(path)
    return file.build(file.config_class(**settings))


SMALL = {"features": 4, "patches": 300, "rounds": 2, "images": 12, "test_images": 10}


def test_rounds_of_kmeans_are_steps_of_the_loop() -> None:
    experiment = built("kmeans_features_cifar10", **SMALL)
    patches = experiment.data.train["patch"]  # type: ignore[index]
    variables = dict(experiment.init(jax.random.key(0), {"patch": patches}))
    start = variables["kmeans"]["centroids"]
    loss, aux = experiment.objective(variables, {"patch": patches}, jax.random.key(0))
    expected = unsupervised.lloyd_step(patches, start)
    np.testing.assert_array_equal(aux.updates["kmeans"]["centroids"], expected.centroids)
    np.testing.assert_array_equal(loss, expected.distances)


@pytest.mark.gate
def test_features_of_kmeans_are_measured() -> None:
    experiment = built("kmeans_features_cifar10", **SMALL)
    found = Trained(experiment, dict(create_state(experiment).variables), 0).measured()
    assert found["train_accuracy"] == 1.0, "12 images, 16 features"
    assert 0 <= found["accuracy"] <= 0.6 and found["encode_gflops"] > 0 and 0.05 < found["peak_gib"] < 100


@pytest.mark.gate
@pytest.mark.parametrize("kernels", ["pixels", "handmade", "kmeans", "sparse", "psd", "crbm", "trained"])
def test_every_way_of_choosing_kernels_traces(kernels: str) -> None:
    dry_run(built("kernels_compared_mnist", kernels=kernels))


@pytest.mark.gate
def test_strokes_are_measured_next_to_random_kernels_and_pixels() -> None:
    experiment = built("crbm_digits", features=2, hold_out=5, c=1.0)
    found = Trained(experiment, dict(create_state(experiment).variables), 0).measured()
    assert found.pop("kernels").shape == (2, 7, 7)
    assert list(found) == ["accuracy", "accuracy_of_random_kernels", "accuracy_of_pixels"]
    assert all(0.3 < value < 1 for value in found.values()), found
