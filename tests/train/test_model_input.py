"""Changes of a batch before the objective: flips, random numbers, mixtures."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn import augment
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._state import STEP, create_state, stream
from jaxcnn.train._step import epoch_order, train_batch, train_step
from jaxcnn.train._tasks import cross_entropy
from tests.models.small import quick_jit
from tests.train.tiny import TinyNetwork, functions


@pytest.fixture(scope="module")
def plain() -> Experiment:
    """The experiment without augmentation and normalisation."""
    file = load_experiment(Path(__file__).parent / "tiny.py")
    experiment = file.build(file.config_class())
    tasks = functions(TinyNetwork(), normalize=lambda images: images, loss=cross_entropy(0.1))
    return dataclasses.replace(experiment, **tasks, optimizer=optax.sgd(0.1), augment=None, ema_decay=0.0)


def turned(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
    """The experiment in which each image is mirrored in every other epoch."""
    images = augment.alternating_flip(jax.random.key(7), batch["image"], batch["index"], epoch=batch["epoch"][0])
    return {**batch, "image": images}


def mixed(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
    """The experiment with mixed pairs of images and shares of classes as targets."""
    shares = jax.nn.one_hot(batch["label"], 10)
    images, shares = augment.mixup(key, batch["image"], shares)
    return {**batch, "image": images, "label": shares}


def seen(experiment: Experiment, rows: np.ndarray, *, step: int = 0) -> dict[str, np.ndarray]:
    """The batch of the objective for some training examples in a step."""
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    key = jax.random.fold_in(stream(experiment.seed, STEP), step)
    batch, _ = train_batch(experiment, jnp.int32(step), arrays, jnp.asarray(rows), 0, key)
    return {name: np.asarray(array) for name, array in batch.items()}


def test_a_training_batch_has_places_and_the_epoch(plain: Experiment) -> None:
    rows = np.array([3, 99, 0])
    batch = seen(plain, rows, step=2 * plain.steps_per_epoch)
    assert set(batch) == {"image", "label", "index", "epoch"}
    np.testing.assert_array_equal(batch["index"], rows)
    np.testing.assert_array_equal(batch["epoch"], [2, 2, 2])
    np.testing.assert_allclose(batch["image"], plain.data.train["image"][rows] / 255, rtol=1e-6)
    np.testing.assert_array_equal(batch["label"], plain.data.train["label"][rows])


def test_each_image_is_mirrored_every_other_epoch(plain: Experiment) -> None:
    """The first epoch of an image depends on a random bit of its index, and not on its place in the batch."""
    experiment = dataclasses.replace(plain, augment=turned)
    rows, steps = np.arange(40, 60), plain.steps_per_epoch
    images = experiment.data.train["image"][rows] / np.float32(255)
    coins = [int(jax.random.bits(jax.random.fold_in(jax.random.key(7), n), (), jnp.uint32) & 1) for n in rows]
    assert 0 < sum(coins) < len(coins)
    for epoch in range(3):
        for step in (epoch * steps, (epoch + 1) * steps - 1):
            x = seen(experiment, rows, step=step)["image"]
            for index, coin in enumerate(coins):
                expected = images[index][:, ::-1] if (coin + epoch) % 2 else images[index]
                np.testing.assert_allclose(x[index], expected, atol=1e-6)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_array_equal(seen(experiment, rows[shuffled])["image"], seen(experiment, rows)["image"][shuffled])


def test_a_step_learns_from_mixed_targets(plain: Experiment) -> None:
    """The loss is for the smoothed shares of the mixture; the class with the largest share is correct."""
    experiment = dataclasses.replace(plain, augment=mixed)
    order = epoch_order(experiment, jnp.int32(0))
    batch = seen(experiment, np.asarray(order[0]))
    targets = batch["label"]
    assert targets.shape == (16, 10) and np.any((targets > 0.05) & (targets < 0.95))
    np.testing.assert_allclose(targets.sum(-1), 1.0, rtol=1e-6)
    state = create_state(experiment)
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    after, _ = quick_jit(functools.partial(train_step, experiment))(state, arrays, order)
    _, dropout_key = jax.random.split(jax.random.fold_in(stream(experiment.seed, STEP), 0))
    apply = quick_jit(functools.partial(TinyNetwork().apply, train=True, mutable=["batch_stats"]))
    logits, _ = apply(state.variables, jnp.asarray(batch["image"]), rngs={"dropout": dropout_key})
    scores = np.asarray(logits, np.float64)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    assert float(after.loss_sum) == pytest.approx(-np.mean(np.sum((0.9 * targets + 0.01) * log_p, 1)), rel=1e-5)
    assert float(after.metric_sums["accuracy"]) == np.sum(scores.argmax(1) == targets.argmax(1))


@pytest.mark.gate
def test_mixtures_are_the_same_on_eight_devices(plain: Experiment) -> None:
    """The partner of an image may be on another device."""
    experiment = dataclasses.replace(plain, augment=augment.chain(turned, mixed))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}

    def look(rows: jax.Array) -> dict[str, jax.Array]:
        return train_batch(experiment, jnp.int32(9), arrays, rows, 0, jax.random.key(3))[0]

    rows = jnp.arange(16)
    one = jax.jit(look)(rows)
    eight = jax.jit(look)(jax.device_put(rows, NamedSharding(mesh, PartitionSpec("data"))))
    for name, array in one.items():
        np.testing.assert_allclose(array, eight[name], atol=1e-6)
    assert not np.allclose(one["image"], experiment.data.train["image"][:16] / np.float32(255))
