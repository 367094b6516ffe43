"""A class for each pixel instead of one for each image: loss, accuracy and overlap are means over pixels."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcnn.data import Dataset, Split
from jaxcnn.nn import Conv
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._evaluate import Evaluation, Evaluator
from jaxcnn.train._experiment import Experiment, cross_entropy
from jaxcnn.train._state import create_state
from jaxcnn.train._step import epoch_order, train_step
from tests.train.runs import new_run, train


class Pixelwise(nn.Module):
    """A linear classifier of 3x3 windows."""

    strides: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return Conv(3, (3, 3), strides=self.strides, name="head")(x)


def scenes(count: int, seed: int) -> Split:
    """Noise of three brightnesses in vertical bands, which are the classes."""
    rng = np.random.default_rng(seed)
    labels = np.broadcast_to(rng.permuted(np.tile([0, 0, 1, 1, 2, 2], (count, 1)), axis=1)[:, None], (count, 6, 6))
    noise = rng.integers(0, 60, (count, 6, 6, 1))
    return Split((80 * labels[..., None] + noise).astype(np.uint8), labels)


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(
        model=Pixelwise(),
        dataset=Dataset(name="bands", train=scenes(20, 0), test=scenes(7, 1), class_names=("a", "b", "c")),
        optimizer=optax.sgd(0.5),
        schedule=optax.constant_schedule(0.5),
        epochs=2,
        batch_size=5,
        loss=cross_entropy(0.1),
    )


def test_a_step_goes_down_the_mean_over_pixels(experiment: Experiment) -> None:
    train = experiment.dataset.train
    state = create_state(experiment)
    order = epoch_order(experiment, jnp.int32(0))
    step = jax.jit(functools.partial(train_step, experiment))
    after, metrics = step(state, train.images, train.labels, order)
    x, labels = train.images[np.asarray(order[0])] / np.float32(255), train.labels[np.asarray(order[0])]

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        log_p = jax.nn.log_softmax(experiment.model.apply({"params": params}, x))
        return -sum(((0.9 * (labels == c) + 0.1 / 3) * log_p[..., c]).sum() for c in range(3)) / labels.size

    by_hand = jax.tree.map(lambda p, g: p - 0.5 * g, state.params, jax.grad(loss)(state.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after.params, by_hand)
    right = np.asarray(experiment.model.apply({"params": state.params}, x)).argmax(-1) == labels
    assert float(metrics.accuracy) == pytest.approx(right.mean(), rel=1e-6)
    assert float(after.correct) == pytest.approx(5 * right.mean(), rel=1e-6)


def test_every_pixel_counts_once(experiment: Experiment) -> None:
    variables = create_state(experiment).eval_variables
    test = experiment.dataset.test
    found = Evaluator(experiment, test, batch_size=3)(variables)
    log_p = np.asarray(jax.nn.log_softmax(experiment.logits(variables, jnp.asarray(test.images))), np.float64)
    assert found.probabilities.shape == (7, 6, 6, 3)
    assert found.accuracy == (log_p.argmax(-1) == test.labels).mean()
    assert found.loss == pytest.approx(-np.take_along_axis(log_p, test.labels[..., None], -1).mean(), rel=1e-5)
    assert found.metrics == {"loss": found.loss, "accuracy": found.accuracy, "mean_iou": found.mean_iou}


def test_overlap_is_that_of_sets_of_pixels() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, (2, 4, 5, 6))  # of 5 classes two do not occur
    found = Evaluation(labels, np.eye(5)[predictions], np.zeros(labels.shape))
    places = [[{tuple(p) for p in np.argwhere(each == c)} for c in range(3)] for each in (labels, predictions)]
    overlaps = [len(one & other) / len(one | other) for one, other in zip(*places, strict=True)]
    assert found.mean_iou == pytest.approx(np.mean(overlaps))
    only_predicted = Evaluation(np.zeros((1, 1, 2), int), np.eye(2)[[[[0, 1]]]], np.zeros((1, 1, 2)))
    assert only_predicted.mean_iou == 0.25  # half of class 0, and nothing of class 1
    assert "mean_iou" not in Evaluation(np.zeros(2, int), np.eye(2), np.zeros(2)).metrics


def test_a_run_records_the_overlap(experiment: Experiment, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    outcome = train(run, experiment)
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert outcome.evaluation is not None
    assert records[-1]["test/mean_iou"] == outcome.evaluation.mean_iou
    assert records[-1]["train/loss"] < records[0]["train/loss"] and 0 < records[-1]["train/accuracy"] <= 1


def test_a_map_of_another_size_is_refused(experiment: Experiment) -> None:
    dry_run(experiment)
    with pytest.raises(ValueError, match=r"logits of shape \(2, 3, 3, 3\) for 2 images.*so \(2, 6, 6, 3\) is wanted"):
        dry_run(dataclasses.replace(experiment, model=Pixelwise(strides=2)))


def test_labels_of_two_kinds_are_refused() -> None:
    make = functools.partial(Dataset, name="bands", class_names=("a", "b", "c"), test=scenes(2, 1))
    with pytest.raises(ValueError, match=r"bands: each image of training has a label but each pixel of testing has"):
        make(train=Split(scenes(2, 0).images, np.zeros(2, int)))
    with pytest.raises(
        ValueError, match=r"or one for each pixel \(2, 6, 6\), but the labels have the shape \(2, 6, 5\)"
    ):
        Split(scenes(2, 0).images, scenes(2, 0).labels[:, :, 1:])
