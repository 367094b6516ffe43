"""Sampling by weights: the frequencies, and that the order depends only on seed and epoch."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.train import Experiment, dry_run
from jaxcnn.train._step import epoch_order
from tests.train.any_loss import auxiliary_heads
from tests.train.runs import assert_same, final_state, without_seconds
from tests.train.runs import train as run_training
from tests.train.test_any_loss import run_in


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """An experiment in which a third of the classes are rare."""
    return auxiliary_heads()


def weighted(experiment: Experiment, weights: Any) -> Experiment:
    return dataclasses.replace(experiment, sample_weights=weights)


def test_examples_are_drawn_in_proportion_to_their_weights(experiment: Experiment) -> None:
    """Over 400 epochs, within five standard deviations of a multinomial distribution."""
    count = len(experiment.data.train)
    weights = np.random.default_rng(0).uniform(size=count)
    weights[:5] = 0
    chosen = weighted(experiment, weights)
    orders = np.asarray(jax.jit(jax.vmap(lambda epoch: epoch_order(chosen, epoch)))(jnp.arange(400)))
    assert orders.shape == (400, chosen.steps_per_epoch, chosen.batch_size)
    found = np.bincount(orders.ravel(), minlength=count)
    shares = weights / weights.sum()
    deviation = np.sqrt(orders.size * shares * (1 - shares))
    assert (found[:5] == 0).all()
    assert (np.abs(found - orders.size * shares) <= 5 * deviation).all()


def test_balanced_weights_draw_every_class_equally_often(experiment: Experiment) -> None:
    labels = experiment.data.train["label"]
    chosen = weighted(experiment, data.balanced_weights(labels))
    orders = np.asarray(jax.jit(jax.vmap(lambda epoch: epoch_order(chosen, epoch)))(jnp.arange(400)))
    shares = np.bincount(labels[orders.ravel()], minlength=10) / orders.size
    assert len(set(np.bincount(labels).tolist())) > 1
    np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_the_order_depends_on_seed_and_epoch(experiment: Experiment) -> None:
    weights = data.balanced_weights(experiment.data.train["label"])
    first, again = (np.asarray(epoch_order(weighted(experiment, weights), jnp.int32(epoch))) for epoch in (0, 0))
    np.testing.assert_array_equal(first, again)
    for other in (
        epoch_order(weighted(experiment, weights), jnp.int32(1)),
        epoch_order(dataclasses.replace(experiment, sample_weights=weights, seed=1), jnp.int32(0)),
    ):
        assert (first != np.asarray(other)).any()


@pytest.mark.gate
def test_a_run_with_weights_that_is_stopped_ends_as_the_one_that_was_not(
    experiment: Experiment, tmp_path: Path
) -> None:
    chosen = weighted(experiment, data.balanced_weights(experiment.data.train["label"]))
    whole, stopped = (run_in(tmp_path / each, "heads") for each in ("whole", "stopped"))
    run_training(whole, chosen)
    assert not run_training(stopped, chosen, stop_after=4).finished
    assert run_training(stopped, chosen).finished
    assert without_seconds(whole) == without_seconds(stopped)
    assert_same(final_state(whole, chosen), final_state(stopped, chosen))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(47), r"expected one weight for each of the 48 training examples, got the shape \(47,\)"),
        (np.full(48, -1.0), r"expected finite weights of at least 0, some of them positive, got -1.0 to -1.0"),
        (np.full(48, np.nan), "expected finite weights of at least 0, some of them positive, got nan to nan"),
        (np.zeros(48), "expected finite weights of at least 0, some of them positive, got 0.0 to 0.0"),
    ],
)
def test_other_weights_are_refused(experiment: Experiment, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weighted(experiment, weights)


def test_it_is_traced_and_shown(experiment: Experiment) -> None:
    chosen = weighted(experiment, np.ones(48, np.float32))
    dry_run(chosen)
    assert "sample_weights=float32[48]" in repr(chosen)
