"""A new run that starts from the variables of another run."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.train._checkpoints import KINDS, CheckpointKind, read_variables, saved
from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import abstract_variables


def starting_from(experiment: Experiment, run: RunFolder, kind: CheckpointKind) -> tuple[Experiment, dict[str, Any]]:
    """The experiment, starting from the evaluated variables of a run, and the record of this run.

    Neither the code nor the data of the run are needed.

    Args:
        experiment: the new experiment, whose variables have the names and shapes of those of the run.
        run: the run that was trained.
        kind: ``"last"`` or ``"best"``, its checkpoint.

    Raises:
        RunError: there is no good checkpoint, or the variables do not fit.
    """
    try:
        variables, step = read_variables(run.checkpoints, kind, abstract_variables(experiment))
    except RunError as error:
        raise RunError(
            f"cannot start from {run.path}: {error} To start from some of the variables only, see Experiment.start and "
            f"train.start_from."
        ) from error
    trained = jax.tree.map(jnp.asarray, variables)
    origin = {"run": str(run.path.resolve()), "identity": run.identity, "checkpoint": kind, "step": step}
    return dataclasses.replace(experiment, start=lambda fresh: trained), origin


def started_again(experiment: Experiment, run: RunFolder) -> Experiment:
    """The experiment of a run that is resumed: where nothing was saved yet, it starts from the other run again.

    Raises:
        RunError: the other run was trained further, replaced, or is gone.
    """
    origin = run.origin
    if origin is None or saved(run.checkpoints, KINDS):
        return experiment
    other = RunFolder.open(Path(origin["run"]))
    found, now = starting_from(experiment, other, origin["checkpoint"])
    if now != origin:
        raise RunError(
            f"{run.path} started from step {origin['step']} of the run {origin['identity']} in {other.path}, where now "
            f"is step {now['step']} of the run {now['identity']}, and nothing was saved since. Start a new run."
        )
    return found
