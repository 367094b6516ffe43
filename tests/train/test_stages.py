"""Stages of one run equal separate runs of each stage, and can be resumed at any step."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import data, train
from jaxcnn.train import Aux, Stage, in_stages

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
SPLIT = data.Split(x=X, target=X @ np.float32([1, -2, 3]))


def init(key: jax.Array, batch: Any) -> Any:
    params = {"first": {"kernel": 0.5 * jax.random.normal(key, (3, 2))}, "second": {"kernel": jnp.ones(2)}}
    return {"params": params, "seen": {"count": jnp.zeros(())}}


def rebuild(variables: Any, batch: Any, key: jax.Array) -> Any:
    """The first layer reconstructs the input; it also counts its steps."""
    kernel = variables["params"]["first"]["kernel"]
    error = ((batch["x"] @ kernel @ kernel.T - batch["x"]) ** 2).sum(-1)
    return error, Aux(updates={"seen": {"count": variables["seen"]["count"] + 1}}, metrics={"rebuilt": error})


def fitted(variables: Any, batch: Any, key: jax.Array) -> Any:
    params = variables["params"]
    error = (batch["x"] @ params["first"]["kernel"] @ params["second"]["kernel"] - batch["target"]) ** 2
    return error, Aux(metrics={"fitted": error})


STAGES = [
    Stage(objective=rebuild, optimizer=optax.adam(0.1), epochs=2, trains=["first/*"]),
    Stage(objective=fitted, optimizer=optax.adamw(optax.linear_schedule(0.1, 0, 9)), epochs=3, trains=["second/*"]),
    Stage(objective=fitted, optimizer=optax.sgd(0.01), epochs=1),
]


def test_each_stage_is_a_run_by_itself() -> None:
    fields = in_stages(STAGES, steps_per_epoch=3)
    assert fields["epochs"] == 6
    variables = init(jax.random.key(0), {})
    batch = {"x": X, "target": SPLIT["target"]}

    @jax.jit
    def step(params: Any, others: Any, state: Any, epoch: int) -> Any:
        def loss(params: Any) -> Any:
            full = {**batch, "epoch": jnp.full(len(X), epoch)}
            return fields["objective"]({"params": params, **others}, full, jax.random.key(0))

        (_, aux), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = fields["optimizer"].update(gradient, state, params)
        return optax.apply_updates(params, updates), aux.updates, state, aux.metrics

    params, others = variables["params"], {"seen": variables["seen"]}
    state, records = fields["optimizer"].init(params), []
    for number in range(18):
        params, others, state, metrics = step(params, others, state, number // 3)
        records.append({name: float(value.mean()) for name, value in metrics.items()})
    assert [int(record["stage"]) for record in records] == 6 * [0] + 9 * [1] + 3 * [2]
    assert [record["rebuilt"] > 0 for record in records] == 6 * [True] + 12 * [False]
    assert [record["fitted"] > 0 for record in records] == 6 * [False] + 12 * [True]
    assert others["seen"]["count"] == 6

    expected = variables["params"]
    for stage, names in zip(STAGES, (["first"], ["second"], ["first", "second"]), strict=True):
        trained = {name: expected[name] for name in names}
        inner = stage.optimizer.init(trained)

        @jax.jit
        def alone(trained: Any, rest: Any, inner: Any, stage: Stage = stage) -> Any:
            def loss(trained: Any) -> jax.Array:
                full = {"params": {**rest, **trained}, "seen": variables["seen"]}
                return stage.objective(full, batch, jax.random.key(0))[0].mean()

            updates, inner = stage.optimizer.update(jax.grad(loss)(trained), inner, trained)
            return optax.apply_updates(trained, updates), inner

        for _ in range(3 * stage.epochs):
            trained, inner = alone(trained, expected, inner)
        expected = {**expected, **trained}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), params, expected)


def experiment() -> train.Experiment:
    return train.Experiment(
        **in_stages(STAGES, steps_per_epoch=3),
        init=init,
        evaluate=lambda variables, batch: {"loss": fitted(variables, batch, jax.random.key(0))[0]},
        data=data.Dataset(name="stages", train=SPLIT, test=SPLIT),
        batch_size=8,
        prepare=lambda batch: batch,
    )


@pytest.mark.gate
def test_a_run_that_was_stopped_ends_the_same_bit_for_bit(tmp_path: Path) -> None:
    """The run is stopped within the first stage, between the two stages, and within the second."""
    whole = train.fit(experiment(), tmp_path / "whole")
    for steps in (4, 2, 4, 100):
        asked = itertools.count()
        last = train.fit(experiment(), tmp_path / "parts", should_stop=lambda: next(asked) >= steps)  # noqa: B023
        assert last.finished == (steps == 100)
    assert whole.step == last.step == 18
    jax.tree.map(np.testing.assert_array_equal, whole.variables, last.variables)
    assert [record["train/stage"] for record in last.history] == [0, 0, 1, 1, 1, 2]


def test_other_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="in_stages: expected at least one stage"):
        in_stages([], steps_per_epoch=1)
    with pytest.raises(ValueError, match="stage 0 has epochs=0"):
        in_stages([Stage(objective=fitted, optimizer=optax.sgd(1.0), epochs=0)], steps_per_epoch=1)
    with pytest.raises(ValueError, match="steps_per_epoch=0 must be at least 1"):
        in_stages(STAGES, steps_per_epoch=0)
    fields = in_stages(
        [Stage(objective=fitted, optimizer=optax.sgd(1.0), epochs=1, trains=["third"])], steps_per_epoch=1
    )
    with pytest.raises(ValueError, match="no variable matches 'third'"):
        fields["optimizer"].init(init(jax.random.key(0), {})["params"])
