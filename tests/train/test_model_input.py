"""What a step does to its images before the model sees them: turns, draws, mixtures."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn import augment
from jaxcnn.train._experiment import Experiment, cross_entropy
from jaxcnn.train._runs.discover import load_experiment
from jaxcnn.train._state import ALTERNATE, create_state, stream
from jaxcnn.train._step import epoch_order, model_input, step_keys, train_step


@pytest.fixture(scope="module")
def plain() -> Experiment:
    """Neither augmented nor normalised."""
    file = load_experiment(Path(__file__).parent / "tiny.py")
    experiment = file.build(file.config_class())
    return dataclasses.replace(
        experiment, optimizer=optax.sgd(0.1), augment=None, normalize=lambda images: images, ema_decay=0.0
    )


def seen(experiment: Experiment, rows: np.ndarray, *, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees, and what it is compared with, of some training images in a step."""
    train = experiment.dataset.train
    x, targets = model_input(
        experiment,
        jnp.asarray(train.images[rows]),
        jnp.asarray(train.labels[rows]),
        jnp.asarray(rows),
        keys=step_keys(experiment, jnp.int32(step)),
        epoch=jnp.int32(step // experiment.steps_per_epoch),
    )
    return np.asarray(x), np.asarray(targets)


def test_each_image_is_mirrored_every_other_epoch(plain: Experiment) -> None:
    """Whatever its place in the batch, by a coin of its number."""
    experiment = dataclasses.replace(plain, alternate=augment.alternating_flip)
    rows, steps = np.arange(40, 60), plain.steps_per_epoch
    images = experiment.dataset.train.images[rows] / np.float32(255)
    key = stream(experiment.seed, ALTERNATE)
    coins = [int(jax.random.bits(jax.random.fold_in(key, number), (), jnp.uint32) & 1) for number in rows]
    assert 0 < sum(coins) < len(coins)
    for epoch in range(3):
        for step in (epoch * steps, (epoch + 1) * steps - 1):
            x, _ = seen(experiment, rows, step=step)
            for index, coin in enumerate(coins):
                turned = images[index][:, ::-1] if (coin + epoch) % 2 else images[index]
                np.testing.assert_allclose(x[index], turned, atol=1e-6)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_array_equal(seen(experiment, rows[shuffled])[0], seen(experiment, rows)[0][shuffled])


def test_a_step_learns_from_mixed_targets(plain: Experiment) -> None:
    """The loss is of the mixture's own shares, smoothed; a hit is what has the largest share."""
    experiment = dataclasses.replace(plain, mix=augment.mixup, loss=cross_entropy(0.1))
    order = epoch_order(experiment, jnp.int32(0))
    x, targets = seen(experiment, np.asarray(order[0]))
    assert targets.shape == (16, 10) and np.any((targets > 0.05) & (targets < 0.95))
    np.testing.assert_allclose(targets.sum(-1), 1.0, rtol=1e-6)
    state, train = create_state(experiment), experiment.dataset.train
    after, _ = train_step(experiment, state, jnp.asarray(train.images), jnp.asarray(train.labels), order)
    logits, _ = experiment.model.apply(
        {"params": state.params, "batch_stats": state.batch_stats},
        jnp.asarray(x),
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": step_keys(experiment, jnp.int32(0)).dropout},
    )
    scores = np.asarray(logits, np.float64)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    assert float(after.loss_sum) == pytest.approx(-np.mean(np.sum((0.9 * targets + 0.01) * log_p, 1)), rel=1e-5)
    assert float(after.correct) == np.sum(scores.argmax(1) == targets.argmax(1))


def test_mixtures_are_the_same_on_eight_devices(plain: Experiment) -> None:
    """Each image's partner may lie on another device."""
    experiment = dataclasses.replace(plain, mix=augment.cutmix, alternate=augment.alternating_flip)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, train = np.arange(16), experiment.dataset.train

    def look(images: jax.Array, labels: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = step_keys(experiment, jnp.int32(3))
        return model_input(experiment, images, labels, numbers, keys=keys, epoch=jnp.int32(1))

    arrays = train.images[rows], train.labels[rows], rows
    spread = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec("data")))
    for one, eight in zip(jax.jit(look)(*arrays), jax.jit(look)(*spread), strict=True):
        np.testing.assert_allclose(one, eight, atol=1e-6)
    assert not np.allclose(jax.jit(look)(*arrays)[0], train.images[rows] / np.float32(255))
