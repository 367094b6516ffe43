"""The speed-run experiment on a few images: initial values, the optimizer of each parameter, and a short run."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import data, models
from jaxcnn.train._experiment import Experiment, standardize, to_unit
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment
from jaxcnn.train._state import create_state
from jaxcnn.train._step import epoch_order, train_step

ROOT = Path(__file__).parent.parent.parent


def blobs(name: str, **_: object) -> data.Dataset:
    """Images of two classes, brighter on the left or at the top, with noise."""
    generator = np.random.default_rng(0)

    def split(count: int) -> data.Split:
        labels = np.arange(count, dtype=np.int32) % 2
        slope = np.linspace(-60, 60, 32)
        light = np.where(labels[:, None, None] == 0, slope[None, None], slope[None, :, None])[..., None]
        noise = generator.normal(0, 20, (count, 32, 32, 3))
        return data.Split(image=np.clip(128 + light + noise, 0, 255).astype(np.uint8), label=labels)

    return data.Dataset(name=name, train=split(48), test=split(16), class_names=("left", "above"))


@pytest.fixture(scope="module")
def file() -> ExperimentFile:
    return load_experiment(ROOT / "experiments" / "cifar10_speedrun.py")


@pytest.fixture
def small(file: ExperimentFile, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setattr(data, "load", blobs)
    return file.build(file.config_class(epochs=6, batch_size=16, width=8, muon_lr=1.0))


@pytest.mark.gate
def test_it_learns_and_leaves_the_whitening_filters_alone(small: Experiment) -> None:
    state = create_state(small)
    before = jax.tree.map(np.asarray, state.params)
    images = small.data
    train = standardize(images.mean, images.std)(to_unit(jnp.asarray(images.train["image"])))
    np.testing.assert_allclose(before["whiten"]["kernel"], models.whitening_kernel(train), atol=1e-5)
    arrays = {name: jnp.asarray(array) for name, array in images.train.arrays.items()}
    step = jax.jit(lambda state, order: train_step(small, state, arrays, order))
    draw = jax.jit(lambda epoch: epoch_order(small, epoch))
    losses, biases = [], []
    for index in range(small.total_steps):
        biases.append(np.asarray(state.params["whiten"]["bias"]))
        state, metrics = step(state, draw(jnp.int32(index // small.steps_per_epoch)))
        losses.append(float(metrics.loss))
    assert int(state.skipped) == 0
    assert min(losses[-3:]) < losses[0] - 0.02
    assert not np.array_equal(biases[8], biases[0])  # in three of the six epochs of three steps
    np.testing.assert_array_equal(state.params["whiten"]["bias"], biases[9])
    np.testing.assert_array_equal(state.params["whiten"]["kernel"], before["whiten"]["kernel"])
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), state.params, before)
    del moved["whiten"]["kernel"]
    assert min(jax.tree.leaves(moved)) > 0


def test_six_views_are_those_of_the_reference(file: ExperimentFile) -> None:
    images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))

    def apply(x: jax.Array) -> jax.Array:
        return x[:, 0, 1]  # one pixel differs, so that the views have different predictions

    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shown = [images, padded[:, :8, :8], padded[:, 2:, 2:]]
    both = [(np.asarray(view)[:, 0, 1] + np.asarray(view)[:, :, ::-1][:, 0, 1]) / 2 for view in shown]
    wanted = both[0] / 2 + (both[1] + both[2]) / 4
    np.testing.assert_allclose(file.build_function.__globals__["six_views"](apply, images), wanted, rtol=1e-5)


@pytest.mark.parametrize(("path", "rate"), [(("head", "kernel"), "head_lr"), (("group1", "norm1", "bias"), "bias_lr")])
@pytest.mark.gate
def test_first_update_of_head_and_biases(file: ExperimentFile, path: tuple[str, ...], rate: str) -> None:
    """PyTorch's formula: g = sum gradient + wd / lr w, and with Nesterov the first step is lr (1 + m) g."""
    config = file.config_class(batch_size=100)
    optimizer = file.build_function.__globals__["speedrun_optimizer"](config, 10)
    model = models.create("cifar_speedrun", widths=(4, 4, 4))
    params: Any = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    grads = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), leaf.shape), params)
    updates, _ = jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p))(grads, params)
    update, weight, gradient = (np.asarray(_at(tree, path)) for tree in (updates, params, grads))
    lr = getattr(config, rate)
    decayed = 100 * gradient + 100 * config.weight_decay / lr * weight
    np.testing.assert_allclose(update, -lr * (1 + config.momentum) * decayed, rtol=1e-4)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = tree[name]
    return tree


@pytest.mark.gate
def test_another_batch_takes_another_rate_of_muon(file: ExperimentFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", blobs)
    rates = []
    for size in (10, 40):
        experiment = file.build(file.config_class(batch_size=size, width=4, whitening_images=8))
        rates.append(create_state(experiment).learning_rates["learning_rate"])
    assert rates[1] == pytest.approx(2 * rates[0]) and rates[0] > 0


def test_flips_alternate_and_shifts_are_drawn(small: Experiment) -> None:
    """Without the shift, an image is original or mirrored, and the other one in the next epoch."""
    flip = small.augment.func  # type: ignore[union-attr]
    images, index = jax.random.uniform(jax.random.key(0), (6, 8, 8, 3)), jnp.arange(10, 16)
    seen = []
    for epoch in (0, 1, 2):
        batch = {"image": images, "index": index, "epoch": jnp.full(6, epoch)}
        seen.append(np.asarray(flip(jax.random.key(epoch), batch, seed=0, pixels=0)["image"]))
    np.testing.assert_array_equal(seen[1], seen[0][:, :, ::-1])
    np.testing.assert_array_equal(seen[2], seen[0])
