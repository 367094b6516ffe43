"""Helpers for tests of whole runs: the tiny experiment, a silent display, comparisons."""

import dataclasses
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn.train._checkpoints._reading import restore
from jaxcnn.train._devices import Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._loop import Outcome, train_run
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._runs._metrics import Record
from jaxcnn.train._state import TrainState, create_state


def is_number(path: object, value: object) -> bool:
    """Whether an entry of the optimizer state is a learning rate, and not the state of a schedule."""
    return getattr(value, "shape", None) == ()


TINY = Path(__file__).parent / "tiny.py"


class Quiet:
    """A display without output."""

    def compiling(self) -> None: ...
    def compiled(self, seconds: float, *, from_cache: bool) -> None: ...
    def start(self, *, step: int, total: int) -> None: ...
    def step(self, step: int, measures: Record) -> None: ...
    def epoch(self, record: Record, *, waited: float | None = None) -> None: ...
    def due(self, seconds: float) -> bool:
        return False


def wait_for_epochs(folder: Path, count: int) -> None:
    """Waits until the run has recorded this number of epochs. A new run has an empty file of metrics."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        metrics = folder / "metrics.jsonl"
        if metrics.exists() and metrics.read_text(encoding="utf-8").count("\n") >= count:
            return
        time.sleep(0.005)
    raise TimeoutError(f"{folder} did not record {count} epochs")


def new_run(folder: Path) -> tuple[ExperimentFile, RunFolder]:
    file = load_experiment(TINY)
    return file, RunFolder.create(folder, file, dataclasses.asdict(file.config_class()))


def train(
    run: RunFolder,
    experiment: Experiment,
    *,
    stop_after: int | None = None,
    checkpoint_minutes: float = 10.0,
    parallel: Parallel | None = None,
) -> Outcome:
    """Trains; after ``stop_after`` steps of this call a stop is requested."""
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return stop_after is not None and asked > stop_after

    with run.locked():
        return train_run(
            experiment,
            run,
            progress=Quiet(),
            should_stop=should_stop,
            checkpoint_minutes=checkpoint_minutes,
            parallel=parallel,
        )


def final_state(run: RunFolder, experiment: Experiment) -> TrainState:
    return restore(run.checkpoints, "last", create_state(experiment))


def without_seconds(run: RunFolder) -> list[Record]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in run.metrics.read()]


def rate_at(experiment: Experiment, step: int) -> float:
    """The learning rate in the optimizer state for a step."""
    params = {"kernel": jnp.ones((1, 1))}

    def counted(leaf: jax.Array) -> jax.Array:
        return jnp.full_like(leaf, step) if jnp.issubdtype(leaf.dtype, jnp.integer) else leaf

    state = jax.tree.map(counted, experiment.optimizer.init(params))
    _, state = experiment.optimizer.update(params, state, params)
    (rate,) = [value for _, value in optax.tree_utils.tree_get_all_with_path(state, "learning_rate", is_number)]
    return float(rate)


def assert_same(left: TrainState, right: TrainState) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)
