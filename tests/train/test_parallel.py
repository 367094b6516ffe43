"""A run gives equal results on any number of devices, with each way of writing its step."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import AxisType

from jaxcnn.nn import BatchNorm, Conv
from jaxcnn.train import _devices as parallel_module
from jaxcnn.train._devices import Parallel, compile_step
from jaxcnn.train._diagnose import first_not_finite
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._loop import train_run
from jaxcnn.train._part_keys import part_key
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._state import TrainState, create_state
from jaxcnn.train._step import epoch_order
from tests.tiers import default_rows
from tests.train.runs import TINY, Quiet, final_state, new_run, without_seconds
from tests.train.tiny import functions

STEPS = 50


class Network(nn.Module):
    """The network of ``tiny.py`` without the bias before the norm, whose gradient consists of rounding errors."""

    dtype: Any = None
    norm: Any = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(8, (5, 5), strides=4, use_bias=False, name="conv", dtype=self.dtype)(x)
        x = nn.relu(self.norm(use_running_average=not train, momentum=0.9, name="norm", dtype=self.dtype)(x))
        x = nn.Dropout(0.2, deterministic=not train)(x)
        return nn.Dense(10, name="output", dtype=self.dtype)(x.reshape(*x.shape[:-3], -1))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    file = load_experiment(TINY)
    experiment = file.build(file.config_class())
    return dataclasses.replace(
        experiment, **functions(Network()), optimizer=optax.sgd(0.05, momentum=0.9, nesterov=True)
    )


def curve(experiment: Experiment, parallel: Parallel, steps: int = STEPS) -> tuple[np.ndarray, TrainState]:
    """The loss of each step, and the final state."""
    state = parallel.place(create_state(experiment))
    arrays = parallel.replicate(experiment.data.train.arrays)
    draw = jax.jit(functools.partial(epoch_order, experiment))
    orders = [parallel.replicate(draw(epoch)) for epoch in range(steps // experiment.steps_per_epoch + 1)]
    step = compile_step(experiment, parallel, state, arrays, orders[0])
    losses = []
    for number in range(steps):
        state, metrics = step(state, arrays, orders[number // experiment.steps_per_epoch])
        losses.append(float(metrics.loss))
    return np.array(losses), state


@pytest.fixture(scope="module")
def alone(experiment: Experiment) -> tuple[np.ndarray, TrainState]:
    return curve(experiment, Parallel.over(1))


def mesh(shape: tuple[int, ...], names: tuple[str, ...], kind: AxisType) -> jax.sharding.Mesh:
    return jax.make_mesh(shape, names, axis_types=(kind,) * len(shape))


def assert_close(left: Any, right: Any, tolerance: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), left, right)


SPELLINGS: dict[str, Any] = {
    "jit": lambda: Parallel.over(8),
    "shard_map": lambda: Parallel.over(8, spelling="shard_map"),
    "pmap": lambda: Parallel.over(8, spelling="pmap"),
    "explicit": lambda: Parallel(mesh=mesh((2, 4), ("a", "b"), AxisType.Explicit)),
    "shard_map 2x4": lambda: Parallel(mesh=mesh((2, 4), ("a", "b"), AxisType.Auto), spelling="shard_map"),
    "fsdp explicit": lambda: Parallel(mesh=mesh((8,), ("data",), AxisType.Explicit), fsdp=True),
    "fsdp shard_map": lambda: Parallel.over(4, spelling="shard_map", fsdp=True),
}


@pytest.mark.parametrize("make", default_rows(SPELLINGS, keep=["pmap"]))
def test_devices_and_spellings_change_nothing(
    experiment: Experiment, alone: tuple[np.ndarray, TrainState], make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty steps with augmentation, dropout, batch statistics and averages, which could differ between devices."""
    monkeypatch.setattr(parallel_module, "SPLIT_FROM", 64)
    parallel = make()
    losses, state = curve(experiment, parallel)
    np.testing.assert_allclose(losses, alone[0], rtol=0, atol=1e-5)
    assert_close(state, alone[1], 2e-4)
    assert losses[-6:].mean() < losses[:6].mean() / 4
    kernel = state.params["output"]["kernel"]
    share = kernel.addressable_shards[0].data.size / kernel.size
    assert share == (1 / parallel.devices if parallel.fsdp else 1)
    assert state.ema_params["output"]["kernel"].sharding == kernel.sharding
    assert state.opt_state[0].trace["output"]["kernel"].sharding == kernel.sharding
    inference, test = Inference.of(experiment), experiment.data.test
    outputs, _ = Evaluator(inference, test, parallel=parallel).outputs(state.eval_variables)
    expected, _ = Evaluator(inference, test).outputs(alone[1].eval_variables)
    np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"], atol=1e-4)


@pytest.mark.parametrize("spelling", default_rows(["jit", "pmap"], keep=["jit"]))
def test_statistics_per_device(experiment: Experiment, spelling: str) -> None:
    """Every part of the batch is normalised separately; running statistics are the mean over the parts."""
    experiment = dataclasses.replace(experiment, augment=None, ema_decay=0.0)
    _, state = curve(experiment, Parallel.over(4, spelling=spelling, batch_stats="per_device"), steps=1)
    before, images = create_state(experiment), experiment.data.train["image"]
    rows = np.asarray(epoch_order(experiment, jnp.int32(0)))[0].reshape(4, 4)
    kernel = np.asarray(before.params["conv"]["kernel"])
    expected = []
    for part in rows:
        x = (jnp.asarray(images[part] / np.float32(255)) - 0.3) / 0.3
        maps = np.asarray(Conv(8, (5, 5), strides=4, use_bias=False).apply({"params": {"kernel": kernel}}, x))
        expected.append((maps.mean((0, 1, 2)), maps.var((0, 1, 2), ddof=1)))
    mean, var = np.mean(expected, axis=0)
    stats = state.collections["batch_stats"]["norm"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-4)


def test_each_part_of_a_batch_counts_alike(experiment: Experiment) -> None:
    """Without statistics, dropout and augmentation, a batch in parts has the results of the whole batch."""
    plain = functools.partial(nn.GroupNorm, num_groups=1)
    model = Network(norm=lambda use_running_average, momentum, **options: plain(**options))
    experiment = dataclasses.replace(experiment, **functions(model, train_mode=False), augment=None)
    whole, state = curve(experiment, Parallel.over(1), steps=8)
    for parallel in (Parallel.over(2, accumulate=4), Parallel.over(4, accumulate=2, spelling="shard_map")):
        losses, by_parts = curve(experiment, parallel, steps=8)
        np.testing.assert_allclose(losses, whole, atol=1e-5)
        assert_close(by_parts.params, state.params, 1e-5)


@pytest.mark.gate
def test_parts_one_after_the_other_are_the_same_on_any_devices(experiment: Experiment) -> None:
    one, _ = curve(experiment, Parallel.over(1, accumulate=2), steps=12)
    four, _ = curve(experiment, Parallel.over(4, accumulate=2, spelling="pmap"), steps=12)
    np.testing.assert_allclose(four, one, atol=1e-5)


@pytest.mark.gate
def test_bfloat16(experiment: Experiment) -> None:
    """Computed in bfloat16, with parameters, statistics, loss and the sums over devices in float32."""
    experiment = dataclasses.replace(experiment, **functions(Network(dtype=jnp.bfloat16)))
    losses, state = curve(experiment, Parallel.over(4), steps=24)
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.collections))} == {np.dtype(np.float32)}
    assert losses[-6:].mean() < losses[:6].mean() / 2
    assert (losses != losses.astype(jnp.bfloat16).astype(float)).any()


def train(run: RunFolder, experiment: Experiment, parallel: Parallel, *, steps: int = 1000) -> None:
    """Trains for a number of steps, or to the end."""
    asked = iter(range(1000))
    with run.locked():
        train_run(experiment, run, progress=Quiet(), should_stop=lambda: next(asked) >= steps, parallel=parallel)


@pytest.mark.gate
def test_a_run_moves_between_devices(experiment: Experiment, tmp_path: Path) -> None:
    """On one device, then eight, then two; the metrics equal those on one device."""
    _, whole = new_run(tmp_path / "whole")
    train(whole, experiment, Parallel.over(1))
    _, run = new_run(tmp_path / "moved")
    train(run, experiment, Parallel.over(1), steps=4)
    train(run, experiment, Parallel.over(8, spelling="shard_map"), steps=4)
    train(run, experiment, Parallel.over(2, spelling="pmap"))
    for left, right in zip(without_seconds(run), without_seconds(whole), strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    assert_close(final_state(run, experiment).params, final_state(whole, experiment).params, 1e-5)


def test_a_diagnosis_on_explicit_axes(experiment: Experiment) -> None:
    parallel = Parallel(mesh=mesh((4,), ("data",), AxisType.Explicit))
    state = parallel.place(create_state(experiment))
    spoilt = dataclasses.replace(experiment, augment=lambda key, batch: {**batch, "image": batch["image"] / 0.0})
    arrays, order = parallel.replicate((experiment.data.train.arrays, epoch_order(experiment, jnp.int32(0))))
    assert first_not_finite(spoilt, parallel, state, arrays, order, 0).startswith("image of the batch, after prepare")


def test_keys_of_parts() -> None:
    """Draws for each example are a part of those of the whole batch.

    Other draws are those without parts.
    """
    key = jax.random.fold_in(jax.random.key(5), 7)
    for part in range(3):
        mine = jax.random.fold_in(part_key(jax.random.key(5), jnp.uint32(part), parts=3, rows=4), 7)
        for draw in (jax.random.normal, jax.random.uniform, functools.partial(jax.random.bits, dtype=jnp.uint8)):
            whole = draw(key, (12, 5, 2))
            np.testing.assert_array_equal(draw(mine, (4, 5, 2)), whole[4 * part : 4 * part + 4])
            np.testing.assert_array_equal(draw(mine, (5, 4)), draw(key, (5, 4)))
            np.testing.assert_array_equal(draw(mine, ()), draw(key, ()))
        np.testing.assert_array_equal(
            jax.random.normal(jax.random.split(mine)[1], (4,)),
            jax.random.normal(jax.random.split(key)[1], (12,))[4 * part : 4 * part + 4],
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spelling": "pmp"}, r"spelling='pmp'.*[Dd]id you mean 'pmap'"),
        ({"batch_stats": "globl"}, r"batch_stats='globl'.*[Dd]id you mean 'global'"),
        ({"accumulate": 0}, r"accumulate=0: a batch has at least one part"),
        ({"spelling": "pmap", "fsdp": True}, r"pmap holds every parameter on every device; use spelling='jit'"),
        ({"devices": 9}, r"devices=9: there are 8 here \(cpu\)\. To try more on a CPU: JAX_NUM_CPU_DEVICES=9"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parallel.over(**({"devices": 2} | options))


def test_a_batch_that_cannot_be_split(experiment: Experiment) -> None:
    with pytest.raises(ConfigError, match=r"a batch of 16 .* evenly over 3 devices; take a batch_size of 15 or 18"):
        curve(experiment, Parallel.over(3))
    with pytest.raises(ConfigError, match=r"over 4 devices and 8 parts one after the other; .* of 32 or 64"):
        curve(experiment, Parallel.over(4, accumulate=8))
