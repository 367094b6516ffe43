"""A run that is trained for longer than it was started for."""

import json
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.train._checkpoints import KINDS, provenance, read_newest, saved
from jaxcnn.train._data_files import naming_changed_files
from jaxcnn.train._devices import Parallel
from jaxcnn.train._distributed import is_first
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports import log
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import TrainState, abstract_state
from jaxcnn.train._step import Gradient, optimized


def extend_run(run: RunFolder, experiment: Experiment, settings: dict[str, Any], parallel: Parallel) -> str:
    """Records that a run continues with other settings from its newest checkpoint on.

    The steps before keep the old settings, which stay in ``config.json``. The caller holds the run's lock.

    Args:
        run: the folder of the run.
        experiment: built with the new settings.
        settings: all of the new settings, as JSON holds them.
        parallel: the devices.

    Returns:
        a sentence about what changes, and the learning rate before and after.

    Raises:
        ConfigError: no step is left to do, or early stopping has ended the run.
        RunError: the checkpoint is of other data, of another batch size or seed, or does not fit the model.
    """
    earlier = run.settings()
    changes = {name: value for name, value in settings.items() if earlier.get(name) != value}
    if _stopped_early(run, experiment):
        rule: Any = experiment.early_stopping
        raise ConfigError(
            f"{run.path} was ended by early stopping: {rule.name} has not improved for {rule.patience} epochs. It "
            f"continues only with a larger patience, or without early stopping."
        )
    template = parallel.template(abstract_state(experiment))
    with naming_changed_files(run, experiment):
        state = read_newest(run.checkpoints, template, provenance(experiment, run, parallel))
    step = 0 if state is None else int(state.step)
    if experiment.total_steps <= step:
        raise ConfigError(
            f"{run.path} is at step {step}, and these settings give it {experiment.total_steps} steps. Give it more, "
            f"such as --extend epochs={step * experiment.epochs // experiment.total_steps + 1}."
        )
    if not changes:
        return f"{run.path} has these settings already; it continues at step {step}"
    rates = "" if state is None else _in_words(state.learning_rates, next_rates(experiment, state))
    if is_first():
        run.extend(step, changes)
    named = ", ".join(f"{name} was {earlier.get(name)} and is {value}" for name, value in changes.items())
    return f"from step {step} on: {named}; {experiment.total_steps} steps in all{rates}"


def continue_with(run: RunFolder, experiment: Experiment, settings: dict[str, Any], parallel: Parallel) -> None:
    """Records the settings of an experiment with which a run without ``experiment.py`` is started or continued.

    If nothing is saved, they replace the settings of the run; otherwise they apply from its newest checkpoint on, if
    steps are left. The caller holds the run's lock.

    Raises:
        RunError: the checkpoint is of other data, of another batch size or seed, or does not fit the model.
    """
    settings = json.loads(json.dumps(settings))
    earlier, there = run.settings(), saved(run.checkpoints, KINDS)
    if all(name in earlier and earlier[name] == value for name, value in settings.items()):
        return
    if there and experiment.total_steps > there[0].step and not _stopped_early(run, experiment):
        log.warning(
            "%s is continued with other settings: %s", run.path, extend_run(run, experiment, settings, parallel)
        )
    elif not there and is_first():
        run.replace_settings(settings)


def _stopped_early(run: RunFolder, experiment: Experiment) -> bool:
    """Whether early stopping has ended the run, by the rule of the experiment that is to continue it."""
    rule = experiment.early_stopping
    return rule is not None and bool(saved(run.checkpoints, KINDS)) and rule.stops(run.metrics.read())


def next_rates(experiment: Experiment, state: TrainState) -> dict[str, float]:
    """The learning rates of the next step, as the optimizer records them; the step is not taken."""

    def after(state: TrainState) -> TrainState:
        grads = jax.tree.map(jnp.zeros_like, state.params)
        found = Gradient(loss=jnp.ones((), jnp.float32), grads=grads, collections={}, metrics={})
        return state.replace(opt_state=optimized(experiment, state, found)[1])

    return jax.jit(after)(state).learning_rates


def _in_words(before: dict[str, float], after: dict[str, float]) -> str:
    """A sentence about the learning rates, which may depend on the number of steps; empty if none is recorded."""
    return "".join(
        f"; {name.replace('_', ' ')} was {before[name]:.3g} in the last step and is {rate:.3g} in the next"
        for name, rate in after.items()
        if name in before
    )
