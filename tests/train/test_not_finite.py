"""NaN and infinity: one bad batch skips one update without a trace; many in a row stop the run, with an explanation."""

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcnn.nn import BatchNorm, Conv
from jaxcnn.train._checkpoints._reading import saved
from jaxcnn.train._devices import Parallel
from jaxcnn.train._diagnose import first_not_finite
from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._state import TrainState, abstract_state, create_state
from jaxcnn.train._step import StepMetrics, epoch_order, train_step
from tests.tiers import default_rows
from tests.train.runs import new_run, train
from tests.train.tiny import functions

TINY = Path(__file__).parent / "tiny.py"


class Trap(nn.Module):
    """The identity, whose value or derivative is replaced for inputs that a test marks."""

    spoil: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.spoil(x)


class Network(nn.Module):
    """A tiny network that contains traps."""

    spoil: Callable[[jax.Array], jax.Array] = lambda x: x
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(4, (5, 5), strides=4, name="conv", dtype=self.dtype)(x)
        x = nn.relu(BatchNorm(use_running_average=not train, name="norm", momentum=0.9, dtype=self.dtype)(x))
        x = nn.Dense(8, name="hidden", dtype=self.dtype)(x.reshape(*x.shape[:-3], -1))
        x = Trap(self.spoil, name="trap")(x)
        return nn.Dense(10, name="output", dtype=self.dtype)(x)


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    file = load_experiment(TINY)
    experiment = file.build(file.config_class())
    return dataclasses.replace(
        experiment, **functions(Network()), augment=None, optimizer=optax.adam(0.01), ema_decay=0.9
    )


def poisoned(experiment: Experiment, bad_steps: tuple[int, ...], value: float) -> Experiment:
    """An experiment with a pixel of ``value`` in the images of some steps; the first image marks the step."""
    order = np.asarray(epoch_order(experiment, jnp.int32(0)))
    images = experiment.data.train["image"].copy()
    images[:, 0, 0, 0] = 0
    images[order[list(bad_steps), 3], 0, 0, 0] = 255  # no digit has ink this far in the corner
    split = experiment.data.train.replace(image=images)
    data = dataclasses.replace(experiment.data, train=split)

    def poison(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        x = batch["image"]
        return {**batch, "image": jnp.where(x[:, :1, :1, :1] == 1.0, jnp.full_like(x, value), x)}

    return dataclasses.replace(experiment, data=data, augment=poison)


def run_steps(experiment: Experiment, count: int) -> tuple[list[TrainState], list[StepMetrics]]:
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    order = epoch_order(experiment, jnp.int32(0))
    step = jax.jit(functools.partial(train_step, experiment))
    states, metrics = [create_state(experiment)], []
    for _ in range(count):
        state, metric = step(states[-1], arrays, order)
        states.append(state)
        metrics.append(metric)
    return states, metrics


def kept(state: TrainState) -> list[np.ndarray]:
    """The parts of a state that a skipped step must not change."""
    return [
        np.asarray(leaf)
        for leaf in jax.tree.leaves((state.params, state.collections, state.opt_state, state.ema_params))
    ]


@pytest.mark.parametrize("value", default_rows([np.nan, 1e30], keep=[np.nan]))
def test_a_bad_batch_leaves_no_trace(tiny: Experiment, value: float) -> None:
    """1e30 is finite, but its square in batch norm is not."""
    states, metrics = run_steps(poisoned(tiny, (1, 2), value), 5)
    for after in (2, 3):
        for left, right in zip(kept(states[after]), kept(states[1]), strict=True):
            np.testing.assert_array_equal(left, right)
    assert [int(state.step) for state in states] == [0, 1, 2, 3, 4, 5]
    assert [int(state.skipped_in_row) for state in states] == [0, 0, 1, 2, 0, 0]
    assert [int(metric.skipped_in_row) for metric in metrics] == [0, 1, 2, 0, 0]
    assert (int(states[-1].skipped), int(states[-1].taken)) == (2, 3)
    assert all(np.isfinite(leaf).all() for leaf in kept(states[-1]))
    assert any((left != right).any() for left, right in zip(kept(states[4]), kept(states[3]), strict=True))
    losses = [float(metrics[step].loss) for step in (0, 3, 4)]
    assert float(states[-1].loss_sum) == pytest.approx(sum(losses), rel=1e-6)


def test_the_state_stays_at_the_limit(tiny: Experiment) -> None:
    states, _ = run_steps(poisoned(dataclasses.replace(tiny, max_skipped=2), (1, 2), np.nan), 5)
    assert int(states[-1].step) == 3
    jax.tree.map(np.testing.assert_array_equal, states[-1], states[3])


@jax.custom_jvp
def spoil_derivative(x: jax.Array) -> jax.Array:
    return x


spoil_derivative.defjvps(lambda tangent, y, x: tangent * jnp.nan)


def infinite(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return logits.sum(-1) / 0.0


def spoil_image(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, "image": batch["image"] / 0.0}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (functions(Network(spoil=spoil_derivative)), r"the gradient of hidden/(bias|kernel): \d+ of (8|\d{3}) values"),
        ({"augment": spoil_image}, r"image of the batch, after prepare and augment: [\d,]+ of"),
        (functions(Network(), loss=infinite), r"the loss, of outputs that are finite"),
        ({"optimizer": optax.sgd(float("inf"))}, r"conv/bias after the update, from a gradient that is finite: 4 of 4"),
        ({}, r"nothing, when the batch was run again"),
    ],
)
def test_the_first_to_go_wrong_is_named(tiny: Experiment, change: dict[str, Any], where: str) -> None:
    experiment = dataclasses.replace(tiny, **change)
    order = epoch_order(experiment, jnp.int32(0))
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    state = create_state(tiny) if "optimizer" not in change else create_state(experiment)
    assert re.match(where, first_not_finite(experiment, Parallel.over(1), state, arrays, order, 0))


def test_a_run_that_takes_no_more_steps_ends_and_names_the_layer(tiny: Experiment, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    experiment = dataclasses.replace(tiny, max_skipped=3, **functions(Network(spoil=lambda x: x * jnp.inf)))
    message = (
        r"the last 3 steps, up to step 3 in epoch 1, had a NaN or an infinity and were skipped: the run diverged\. "
        r"In the batch of step 3 the first to go wrong is the output of trap \(Trap\): 128 of 128 values .*"
        r"\. No checkpoint was saved before that\. Try a smaller learning rate"
    )
    with pytest.raises(RunError, match=message):
        train(run, experiment)
    assert not saved(run.checkpoints, ["last"])


def test_a_checkpoint_that_is_kept_is_named_by_its_step(tiny: Experiment, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    optimizer = optax.sgd(lambda step: jnp.where(step < 6, 0.01, jnp.inf))  # an epoch has six steps
    experiment = dataclasses.replace(tiny, optimizer=optimizer, max_skipped=3)
    with pytest.raises(RunError, match=r"in epoch 2, .*\. The checkpoint of step 6 is kept in .*checkpoints\."):
        train(run, experiment)
    assert [one.step for one in saved(run.checkpoints, ["last"])] == [6]


def test_an_overflow_halves_the_loss_scale_and_costs_one_step(tiny: Experiment) -> None:
    """Float16 ends at 65504: from 2**40, the scale is halved until gradients fit, and training continues."""
    half = functions(Network(dtype=jnp.float16), normalize=lambda x: x - 0.3)
    experiment = dataclasses.replace(tiny, **half, loss_scale=2.0**24, max_skipped=1)
    states, _ = run_steps(experiment, 18)
    scales = [float(state.loss_scale) for state in states if state.loss_scale is not None]
    skipped = int(states[-1].skipped)
    assert 0 < skipped < 18 and scales[-1] == 2.0 ** (24 - skipped)
    assert int(states[-1].skipped_in_row) == 0 and int(states[-1].step) == 18
    np.testing.assert_array_equal(kept(states[1])[0], kept(states[0])[0])
    assert float(states[-1].loss_sum / states[-1].taken) < float(states[skipped + 1].loss_sum)


def test_epochs_of_overflows_alone_are_recorded_and_training_goes_on(tiny: Experiment, tmp_path: Path) -> None:
    """Here an epoch has one step, and the first steps overflow until the scale is small enough."""
    _, run = new_run(tmp_path / "run")
    half = functions(Network(dtype=jnp.float16), normalize=lambda x: x - 0.3)
    experiment = dataclasses.replace(tiny, **half, loss_scale=2.0**20, max_skipped=1, batch_size=100, epochs=8)
    outcome = train(run, experiment)
    skipped = [record["train/skipped"] for record in outcome.history]
    assert outcome.finished and skipped[0] == 1 and 0 in skipped
    for record in outcome.history:
        assert np.isnan(record["train/loss"]) == np.isnan(record["train/accuracy"]) == bool(record["train/skipped"])
        assert np.isfinite(record["test/loss"])


@pytest.mark.gate
def test_a_loss_scale_changes_no_gradient(tiny: Experiment) -> None:
    (_, plain), _ = run_steps(tiny, 1)
    (_, scaled), _ = run_steps(dataclasses.replace(tiny, loss_scale=2.0**10), 1)
    jax.tree.map(
        lambda left, right: np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6), plain.params, scaled.params
    )


def test_batches_of_one_example(tiny: Experiment) -> None:
    """A batch norm over positions still has several entries.

    A norm over one entry has no variance, and its running variance does not change.
    """
    states, _ = run_steps(dataclasses.replace(tiny, batch_size=1), 3)
    assert int(states[-1].skipped) == 0
    assert all(np.isfinite(leaf).all() for leaf in kept(states[-1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_skipped": 0}, r"max_skipped=0: a run can stop after 1 skipped step"),
        ({"loss_scale": 0.5}, r"loss_scale=0\.5 must be at least 1 and finite, or None"),
        (
            {"epochs": 10**12},
            r"epochs=1000000000000: .*2,147,483,647 steps.* 6 steps .*is 357,913,941 epochs",
        ),
    ],
)
def test_impossible_settings(tiny: Experiment, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tiny, **change)


@pytest.mark.parametrize("name", ["epochs", "seed", "max_skipped", "evaluate_every"])
def test_numbers_that_count_are_integers(tiny: Experiment, name: str) -> None:
    """A NaN as the number of epochs meant no epochs, and ended in an IndexError."""
    for value in (2.0, float("nan"), True, "2"):
        with pytest.raises(TypeError, match=f"{name} must be an integer, not"):
            dataclasses.replace(tiny, **{name: value})  # type: ignore[arg-type]
    assert dataclasses.replace(tiny, **{name: np.int64(2)}).total_steps > 0  # type: ignore[arg-type]


class Deep(nn.Module):
    """A network with the given number of layers."""

    depth: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = x.reshape(*x.shape[:-3], -1)[..., :8]
        for _ in range(self.depth):
            x = nn.Dense(8)(x)
        return nn.Dense(10)(x)


@pytest.mark.gate
def test_the_program_grows_with_the_number_of_layers_and_not_with_its_square(tiny: Experiment) -> None:
    """XLA once repeated the test for finite values of the whole state for each array of the state."""

    def size(depth: int) -> int:
        experiment = dataclasses.replace(tiny, **functions(Deep(depth)))
        state = abstract_state(experiment)
        arrays, order = experiment.data.train.arrays, jax.eval_shape(lambda: epoch_order(experiment, jnp.int32(0)))
        step = jax.jit(functools.partial(train_step, experiment))
        return len(step.lower(state, arrays, order).compile().as_text())

    few, some, many = size(5), size(15), size(35)
    assert many - some < 2.5 * (some - few)
