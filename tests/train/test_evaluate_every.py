"""Evaluation of test images: epochs without evaluation, and several views of an image."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import augment
from jaxcnn.train._checkpoints._reading import restore
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports._progress import epoch_line
from jaxcnn.train._state import create_state
from jaxcnn.vis import curves_figure
from tests.train.runs import new_run, train
from tests.train.tiny import Config, TinyNetwork, build, functions


@pytest.fixture
def experiment() -> Experiment:
    return dataclasses.replace(build(Config()), evaluate_every=2)


def test_only_some_epochs_are_evaluated_and_the_last_one_always_is(experiment: Experiment, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    outcome = train(run, experiment)
    records = run.metrics.read()
    assert ["test/accuracy" in record for record in records] == [False, True, True]
    assert outcome.metrics == records[-1]
    best = max(records[1:], key=lambda record: record["test/accuracy"])
    assert int(restore(run.checkpoints, "best", create_state(experiment)).step) == best["step"]
    line = epoch_line(records[0], epochs=3, speed=1.0, left=1.0)
    assert "not tested" in line and len(line) == len(epoch_line(records[1], epochs=3, speed=1.0, left=1.0))
    assert len(curves_figure(records).axes) == 3


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (7, [3])])
def test_which_epochs(experiment: Experiment, every: int, expected: list[int]) -> None:
    chosen = dataclasses.replace(experiment, evaluate_every=every)
    assert [epoch for epoch in (1, 2, 3) if chosen.evaluates(epoch)] == expected


def test_never_is_refused(experiment: Experiment) -> None:
    with pytest.raises(ValueError, match="evaluate_every=0: it counts epochs, at least 1"):
        dataclasses.replace(experiment, evaluate_every=0)


def test_logits_are_the_mean_over_views(experiment: Experiment) -> None:
    def both_sides(apply: object, images: jax.Array) -> jax.Array:
        return augment.average_over_views(apply, augment.flip_views(images), average="logits")  # type: ignore[arg-type]

    variables = create_state(experiment).eval_variables
    images = jnp.asarray(experiment.data.test["image"][:4]) / 255

    def predicted(x: jax.Array, **options: object) -> np.ndarray:
        return np.asarray(functions(TinyNetwork(), **options)["predict"](variables, {"image": x})["probabilities"])

    seen = predicted(images, test_time=both_sides)
    plain, mirrored = (np.log(predicted(x)) for x in (images, images[:, :, ::-1]))
    mean = np.exp((plain + mirrored) / 2)
    np.testing.assert_allclose(seen, mean / mean.sum(-1, keepdims=True), atol=1e-6)
    assert np.abs(plain - mirrored).max() > 1e-3
