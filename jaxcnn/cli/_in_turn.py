"""Runs trained one after another, each in a process of its own, which may be stopped and started again.

The wall time of a run is that of its process, with imports, compilation and pictures.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from jaxcnn.cli._signals import WATCHED, watched

if TYPE_CHECKING:
    from jaxcnn.train import ExperimentFile


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run to be trained.

    Attributes:
        folder: of the run.
        words: the arguments of `jaxcnn train` for its settings, such as ``("--variant", "mean", "--set", "seed=0")``.
        settings: all of them, as ``config.json`` holds them.
    """

    folder: Path
    words: tuple[str, ...]
    settings: dict[str, Any]


class Stopped(Exception):
    """A run received a signal to stop, and has saved its state."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def refuse_seed(assignments: Sequence[str]) -> None:
    """Refuses a seed among settings, which would be replaced by those that are counted.

    Raises:
        ConfigError: there is one.
    """
    from jaxcnn.train import ConfigError

    for text in assignments:
        if text.partition("=")[0].strip() == "seed":
            raise ConfigError(f"--set {text}: the seeds are 0 to N-1 of --seeds N. Train one seed by jaxcnn train.")


def plan(file: "ExperimentFile", folder: Path, assignments: Sequence[str], variant: str | None = None) -> Planned:
    """The run of a variant with some settings changed by ``key=value`` texts.

    Raises:
        ConfigError: a setting or the variant does not exist, or a value is of another type.
    """
    from jaxcnn.train import config_of, settings_to_json

    words = ["--variant", variant] if variant is not None else []
    words += [word for text in assignments for word in ("--set", text)]
    return Planned(folder, tuple(words), settings_to_json(config_of(file, assignments, variant=variant)))


def train_in_turn(
    experiment: str,
    file: "ExperimentFile",
    runs: Sequence[Planned],
    again: str,
    *,
    keep_going: bool = False,
    quiet: bool = False,
) -> dict[Path, float | None]:
    """Trains every run, or what is left of it.

    Args:
        experiment: the argument of `jaxcnn train` for the experiment.
        file: the experiment.
        runs: what to train.
        again: the command that continues after a stop.
        quiet: whether the output of the runs goes to standard error.
        keep_going: whether the others are trained where one fails, as with a learning rate that is too large.

    Returns:
        the wall time of each run by its folder; None where it took more than one start. Runs that failed are left out.

    Raises:
        Stopped: a run received a signal.
        RunError: a folder has a run of other settings, which is found before anything is trained; or a run failed.
    """
    from jaxcnn.train import RunError

    for each in runs:
        if (each.folder / "config.json").exists():
            _check_same(file, each)
    found = {}
    for each in runs:
        try:
            found[each.folder] = _train(experiment, each, again, quiet)
        except RunError as error:
            if not keep_going:
                raise
            print(error, file=sys.stderr)
    return found


def _train(experiment: str, planned: Planned, again: str, quiet: bool) -> float | None:
    """Trains a run, or what is left of it; the seconds it took if that was one start."""
    from jaxcnn._files import write_json
    from jaxcnn.train import RunError

    folder, done = planned.folder, planned.folder / "repeat.json"
    there = (folder / "config.json").exists()
    if there and done.exists():
        print(f"{folder} is trained", file=sys.stderr if quiet else sys.stdout)
        known: float | None = json.loads(done.read_text(encoding="utf-8"))["wall_seconds"]
        return known
    words = ["--resume", str(folder)] if there else [experiment, "--run-dir", str(folder), *planned.words]
    start = time.perf_counter()
    status = wait_for([sys.executable, "-m", "jaxcnn", "train", *words], 2 if quiet else None)
    seconds = None if there else round(time.perf_counter() - start, 1)
    if status in {128 + number for number in WATCHED}:
        raise Stopped(status)
    if status:
        raise RunError(
            f"the run in {folder} ({' '.join(planned.words)}) ended with status {status}. To try it again: {again}"
        )
    write_json(done, {"wall_seconds": seconds})
    return seconds


def _check_same(file: "ExperimentFile", planned: Planned) -> None:
    """Refuses an existing run that differs from the planned one.

    Raises:
        RunError: its settings differ, or the text of its experiment does.
    """
    from jaxcnn.train import RunError, RunFolder

    recorded = RunFolder(planned.folder).settings()
    differing = [name for name, value in planned.settings.items() if recorded.get(name) != value]
    if (planned.folder / "experiment.py").read_text(encoding="utf-8") != file.source:
        differing.append("the text of the experiment")
    if differing:
        raise RunError(
            f"{planned.folder} holds a run that differs in {', '.join(differing)}. Name another folder with "
            f"--run-dir DIR."
        )


def wait_for(command: Sequence[str], output: int | None = None) -> int:
    """The exit status of a process, which receives Ctrl-C and SIGTERM and has time to save.

    ``output`` is the file descriptor of its standard output, unless that is the one of this process.
    """
    # Each run compiles for itself, so that its wall time is that of a first start.
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    started: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        for process in started:
            process.send_signal(number)

    earlier = {number: signal.signal(number, forward) for number in watched()}
    try:
        # In a group of its own: a terminal would send it Ctrl-C a second time, which ends it at once.
        started.append(subprocess.Popen(command, env=environment, process_group=0, stdout=output))
        return started[0].wait()
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
