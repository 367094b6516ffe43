"""Training in stages, such as greedy layer-wise training: objective and optimizer change with the epoch."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxcnn.train._experiment import MOST_STEPS, Aux
from jaxcnn.train._finetune import by_pattern, frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run.

    Attributes:
        objective: as in ``Experiment``.
        optimizer: starts anew with the stage; its schedules count the steps of the stage.
        epochs: passes over the training examples.
        trains: patterns of the parameters that change, as for ``by_pattern``; all others are frozen.
    """

    objective: Callable[[dict[str, Any], dict[str, Any], jax.Array], tuple[jax.Array, Aux]]
    optimizer: optax.GradientTransformation
    epochs: int
    trains: Sequence[str] = ("*",)


def in_stages(stages: Sequence[Stage], *, steps_per_epoch: int) -> dict[str, Any]:
    """The ``objective``, ``optimizer`` and ``epochs`` of an experiment that is trained in stages.

    For ``Experiment(**in_stages([...], steps_per_epoch=...), init=..., evaluate=..., ...)``: one layer after the other
    without labels, then a classifier, then all parameters together. The stage follows from the epoch, so a run that is
    stopped within or between stages continues like any other. Only the objective of the stage is computed.

    Args:
        stages: in order.
        steps_per_epoch: as ``data.steps_per_epoch`` gives it.

    Returns:
        the three fields. The metrics are those of all stages, and a metric that a stage does not have is 0 in it;
        ``stage`` is the number of the stage, from 0. Collections that an objective does not update keep their values.

    Raises:
        ValueError: no stage, a stage without epochs, or ``steps_per_epoch`` below 1; when the optimizer is initialised,
            a pattern that matches no parameter.

    Source: Bengio, Lamblin, Popovici and Larochelle (2006), "Greedy layer-wise training of deep networks".

    >>> def pull(name, target):
    ...     def objective(variables, batch, key):
    ...         return (variables["params"][name] - target) ** 2 * jnp.ones(len(batch["epoch"])), Aux()
    ...     return objective
    >>> fields = in_stages(
    ...     [Stage(objective=pull(name, 1.0), optimizer=optax.sgd(0.5), epochs=1, trains=[name]) for name in "ab"],
    ...     steps_per_epoch=1,
    ... )
    >>> params = {"a": jnp.zeros(()), "b": jnp.zeros(())}
    >>> state = fields["optimizer"].init(params)
    >>> for epoch in range(fields["epochs"]):
    ...     batch = {"epoch": jnp.full(2, epoch)}
    ...     gradient = jax.grad(lambda p: fields["objective"]({"params": p}, batch, jax.random.key(0))[0])(params)
    ...     updates, state = fields["optimizer"].update(gradient, state, params)
    ...     params = optax.apply_updates(params, updates)
    ...     print({name: float(value) for name, value in params.items()})
    {'a': 1.0, 'b': 0.0}
    {'a': 1.0, 'b': 1.0}
    """
    stages = tuple(stages)
    if not stages:
        raise ValueError("expected at least one stage.")
    for index, stage in enumerate(stages):
        if stage.epochs < 1:
            raise ValueError(f"stage {index} has epochs={stage.epochs}: a stage needs at least one.")
    if steps_per_epoch < 1:
        raise ValueError(f"steps_per_epoch={steps_per_epoch} must be at least 1.")
    ends = list(itertools.accumulate(stage.epochs for stage in stages))
    starts = [0, *ends[:-1]]

    def objective(variables: dict[str, Any], batch: dict[str, Any], key: jax.Array) -> tuple[jax.Array, Aux]:
        others = {name: value for name, value in variables.items() if name != "params"}
        rows = len(batch["epoch"])

        def of(stage: Stage) -> Callable[[dict[str, Any]], tuple[jax.Array, dict[str, Any], dict[str, jax.Array]]]:
            def run(variables: dict[str, Any]) -> tuple[jax.Array, dict[str, Any], dict[str, jax.Array]]:
                loss, aux = stage.objective(variables, batch, key)
                metrics = {name: jnp.asarray(value, jnp.float32) for name, value in aux.metrics.items()}
                return jnp.asarray(loss, jnp.float32).mean(), {**others, **aux.updates}, metrics

            return run

        each = [of(stage) for stage in stages]
        names = sorted({name for run in each for name in jax.eval_shape(run, variables)[2]})
        blank = {name: jnp.zeros(rows) for name in names}

        def completed(run: Callable[..., Any]) -> Callable[..., Any]:
            def call(variables: dict[str, Any]) -> Any:
                loss, updates, metrics = run(variables)
                return loss, updates, {**blank, **metrics}

            return call

        stage = jnp.searchsorted(jnp.asarray(ends), batch["epoch"][0], side="right")
        stage = jnp.minimum(stage, len(stages) - 1)
        loss, updates, metrics = lax.switch(stage, [completed(run) for run in each], variables)
        return loss, Aux(updates=updates, metrics={**metrics, "stage": jnp.full(rows, stage, jnp.float32)})

    def during(first: int, last: int) -> Callable[[jax.Array], jax.Array]:
        return lambda step: (step >= first) & (step <= last)

    # The optimizer of a stage transforms the gradient during its steps; those of other stages let it pass unchanged. A
    # run that is extended stays in the last stage.
    firsts = [start * steps_per_epoch for start in starts]
    lasts = [*(first - 1 for first in firsts[1:]), MOST_STEPS]
    optimizers = [
        optax.conditionally_transform(
            by_pattern(dict.fromkeys(stage.trains, stage.optimizer), frozen()), during(first, last)
        )
        for stage, first, last in zip(stages, firsts, lasts, strict=True)
    ]
    return {"objective": objective, "optimizer": optax.chain(*optimizers), "epochs": ends[-1]}
