"""The fine-tuning experiment on the digits of the package: the parameters that it loads, and those that it freezes."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment
from jaxcnn.train._state import TrainState, create_state
from jaxcnn.train._trained import Trained

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def file() -> ExperimentFile:
    return load_experiment(ROOT / "experiments" / "finetune_mnist.py")


def built(file: ExperimentFile, **settings: Any) -> Experiment:
    return file.build(file.config_class(dataset="digits", **settings))


def after_two_steps(experiment: Experiment, params: Any) -> Any:
    """Two steps, since the rate rises from zero. Gradients are ones, since only the optimizer is tested."""
    optimizer = experiment.optimizer

    @jax.jit
    def trained(params: Any) -> Any:
        opt_state = optimizer.init(params)
        for _ in range(2):
            updates, opt_state = optimizer.update(jax.tree.map(jnp.ones_like, params), opt_state, params)
            params = optax.apply_updates(params, updates)
        return params

    return trained(params)


def updates_statistics(experiment: Experiment, state: TrainState) -> bool:
    """Whether the objective updates the running statistics."""
    batch = {"image": jax.random.uniform(jax.random.key(0), (4, 32, 32, 1)), "label": jnp.arange(4)}
    updates = jax.jit(lambda variables: experiment.objective(variables, batch, jax.random.key(1))[1].updates)
    return moved(dict(updates(state.variables)), state.collections) > 0


def moved(after: Any, before: Any) -> float:
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def test_few_labels_are_few_images_of_the_right_digits_and_other_ones_for_each_seed(file: ExperimentFile) -> None:
    few = built(file, labels_per_class=5, seed=1)
    images = {image.tobytes() for image in few.data.train["image"]}
    assert len(images) == 5 * 5
    assert few.data.class_names == ("5", "6", "7", "8", "9")
    assert np.bincount(few.data.train["label"]).tolist() == [len(few.data.train) // 5] * 5
    everything = built(file, labels_per_class=0).data.train
    label_of = {image.tobytes(): label for image, label in zip(everything["image"], everything["label"], strict=True)}
    pairs = zip(few.data.train["image"], few.data.train["label"], strict=True)
    assert all(label_of[image.tobytes()] == label for image, label in pairs)
    other = {image.tobytes() for image in built(file, labels_per_class=5, seed=2).data.train["image"]}
    assert images != other
    held_out = built(file, labels_per_class=5, hold_out=6).data
    assert few.data.validation is None and held_out.validation is not None
    assert len(few.data.test) == len(held_out.test) > len(held_out.validation) > 0


@pytest.mark.gate
def test_fine_tuning_starts_from_the_run_and_leaves_alone_what_is_frozen(
    file: ExperimentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = create_state(built(file, digits="01234", labels_per_class=0, seed=7))
    trained = Trained(experiment=built(file), variables=before.eval_variables, step=0)
    monkeypatch.setitem(file.build_function.__globals__, "load_trained", lambda run, kind: trained)
    monkeypatch.setattr(file.build_function.__globals__["RunFolder"], "open", lambda path: None)
    settings = {"freeze": "conv1/*", "trained_rate": 0.1, "freeze_batch_stats": True}
    experiment = built(file, pretrained="runs/somewhere", **settings)
    start = create_state(experiment)
    assert moved(start.params["conv2"], before.params["conv2"]) == 0
    assert moved(start.collections, before.collections) == 0
    assert moved(start.params["head"]["kernel"], before.params["head"]["kernel"]) > 0.01, "the head is a new one"
    assert not updates_statistics(experiment, start), "batch statistics stay"
    after = after_two_steps(experiment, start.params)
    assert moved(after["conv1"], start.params["conv1"]) == 0
    ratio = moved(after["conv2"], start.params["conv2"]) / moved(after["head"], start.params["head"])
    assert ratio == pytest.approx(0.1, rel=0.01), "with equal gradients Adam's steps are as long as the rates"
    thawed = built(file, pretrained="runs/somewhere", **settings | {"freeze": "", "freeze_batch_stats": False})
    assert updates_statistics(thawed, start)
    assert moved(after_two_steps(thawed, start.params)["conv1"], start.params["conv1"]) > 0
