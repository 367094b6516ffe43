"""What tests of whole runs share: the tiny experiment, a display that shows nothing, comparisons."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from jaxcnn.train._checkpoints.reading import restore
from jaxcnn.train._devices import Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._loop import Outcome, fit
from jaxcnn.train._runs.discover import ExperimentFile, load_experiment
from jaxcnn.train._runs.folder import RunFolder
from jaxcnn.train._runs.metrics import Record
from jaxcnn.train._state import TrainState, create_state

TINY = Path(__file__).parent / "tiny.py"


class Quiet:
    """A display that shows nothing."""

    def compiling(self) -> None: ...
    def compiled(self, seconds: float, *, from_cache: bool) -> None: ...
    def start(self, *, step: int, total: int) -> None: ...
    def step(self, step: int, *, loss: float, accuracy: float) -> None: ...
    def epoch(self, record: Record, *, waited: float | None = None) -> None: ...
    def due(self, seconds: float) -> bool:
        return False


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
    """Trains; ``stop_after`` steps of this call a stop is requested."""
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return stop_after is not None and asked > stop_after

    with run.locked():
        return fit(
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


def assert_same(left: TrainState, right: TrainState) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)
