"""Fine-tuning: parameters that are loaded, parameters that stay frozen, and messages for parameters that do not fit."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.train._experiment import Experiment
from jaxcnn.train._finetune import by_pattern, frozen, start_from
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._state import TrainState, create_state
from jaxcnn.train._step import epoch_order, train_step
from tests.train.tiny import TinyNetwork, functions


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    file = load_experiment(Path(__file__).parent / "tiny.py")
    return dataclasses.replace(file.build(file.config_class()), ema_decay=0.0)


def after_steps(experiment: Experiment, count: int) -> TrainState:
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    order = jax.jit(functools.partial(epoch_order, experiment))(0)
    state, step = create_state(experiment), jax.jit(functools.partial(train_step, experiment))
    for _ in range(count):
        state, _ = step(state, arrays, order)
    return state


def equal(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.gate
def test_a_run_starts_from_trained_variables_with_a_new_head(experiment: Experiment) -> None:
    trained = after_steps(experiment, 3).eval_variables
    start = functools.partial(start_from, trained=trained, keep_fresh=["params/output/*"])
    fresh = create_state(dataclasses.replace(experiment, seed=5))
    state = create_state(dataclasses.replace(experiment, seed=5, start=start))
    assert equal(state.params["conv"], trained["params"]["conv"])
    assert equal(state.collections["batch_stats"], trained["batch_stats"])
    assert equal(state.params["output"], fresh.params["output"])
    assert not equal(state.params["output"], trained["params"]["output"])


@pytest.mark.gate
def test_frozen_parameters_stay_bit_for_bit_and_groups_have_their_own_rates(experiment: Experiment) -> None:
    before = create_state(experiment)
    optimizer = by_pattern({"conv/*": frozen(), "output/*": optax.sgd(0.1)}, optax.sgd(0.01))
    after = after_steps(dataclasses.replace(experiment, optimizer=optimizer), 1)
    plain = after_steps(dataclasses.replace(experiment, optimizer=optax.sgd(1.0)), 1)
    assert equal(after.params["conv"], before.params["conv"])
    for name, rate in (("output", 0.1), ("norm", 0.01)):
        for moved, start, whole in zip(*(jax.tree.leaves(s.params[name]) for s in (after, before, plain)), strict=True):
            np.testing.assert_allclose(moved - start, rate * (whole - start), rtol=1e-4, atol=1e-7)
    assert not equal(after.collections, before.collections)


def test_statistics_and_dropout_may_be_frozen_too(experiment: Experiment) -> None:
    still = dataclasses.replace(experiment, **functions(TinyNetwork(), train_mode=False))
    after = after_steps(still, 2)
    assert equal(after.collections, create_state(still).collections)
    assert not equal(after.params, create_state(still).params)


OLD = {"params": {"conv": {"kernel": np.zeros((3, 3))}, "output": {"kernel": np.zeros((2, 5))}, "old": np.zeros(1)}}
NEW = {"params": {"conv": {"kernel": np.zeros((3, 3))}, "output": {"kernel": np.zeros((2, 3))}, "new": np.zeros(1)}}


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="start_from: the trained variables do not fit the model") as caught:
        start_from(NEW, OLD)
    message = str(caught.value)
    assert "missing: params/new;" in message
    assert "not in the model: params/old;" in message
    assert "of another shape: params/output/kernel is (2, 5) where (2, 3) is wanted." in message
    assert message.endswith("Name what is to stay freshly initialised in keep_fresh.")


def test_a_pattern_that_matches_nothing() -> None:
    message = r"start_from: no variable matches 'params/ouput/kernel'. Did you mean 'params/output/kernel'\?"
    with pytest.raises(ValueError, match=message):
        start_from(NEW, OLD, keep_fresh=["params/ouput/kernel"])
    with pytest.raises(ValueError, match="by_pattern: no variable matches 'head/\\*'"):
        by_pattern({"head/*": frozen()}, optax.sgd(0.1)).init(NEW["params"])
