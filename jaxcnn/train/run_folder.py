"""A run is a folder: what was run, with what, how it went, and where it stands.

``config.json`` (experiment and resolved settings), ``experiment.py`` (its text), ``versions.json``, ``metrics.jsonl``,
``timing.json``, ``warnings.log`` where there was something to warn of, ``checkpoints/last`` and ``checkpoints/best``,
and pictures.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxcnn.train._trust import remember, trusted_folder
from jaxcnn.train.config import config_from_json
from jaxcnn.train.discover import ExperimentFile, experiment_folders, load_experiment
from jaxcnn.train.errors import ConfigError, RunError
from jaxcnn.train.files import write_json, write_text
from jaxcnn.train.metrics import MetricsLog
from jaxcnn.train.versions import versions
from jaxcnn.train.warnings_log import log, warnings_kept


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = MetricsLog(path / "metrics.jsonl")

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    @staticmethod
    def create(path: Path, file: ExperimentFile, settings: dict[str, Any]) -> "RunFolder":
        """Makes the folder of a new run and records what is about to be run.

        Raises:
            RunError: the folder holds a run already, or cannot be written.
        """
        run = RunFolder(path)
        if (path / "config.json").exists():
            raise RunError(f"{path} holds a run already. Continue it with: jaxcnn train --resume {path}")
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / "experiment.py", file.source)
            write_json(path / "versions.json", versions(file.path))
            origin = {"experiment": file.name, "experiment_file": str(file.path)}
            write_json(path / "config.json", origin | settings)
            remember(file.source, file.siblings)
        except OSError as error:
            raise RunError(
                f"cannot write the run folder {path}: {error.strerror}. Name another with --run-dir DIR."
            ) from error
        return run

    @staticmethod
    def open(path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            RunError: the folder holds no run.
        """
        if not (path / "config.json").is_file():
            what = "there is no folder" if not path.exists() else "there is no run (no config.json) in"
            raise RunError(f"{what} {path}. `jaxcnn list` names the runs in ./runs.")
        return RunFolder(path)

    def recorded(self) -> dict[str, Any]:
        """The content of ``config.json``.

        Raises:
            RunError: it is not readable JSON.
        """
        try:
            return json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(
                f"{self.path / 'config.json'} is damaged ({error}); restore it or start a new run."
            ) from error

    def load_experiment(self, *, trust: bool = False) -> tuple[ExperimentFile, Any]:
        """Runs the recorded ``experiment.py``; the experiment, and its config. Edits of the original do not matter.

        The modules that it may import are those of the folder that it was first run from; nothing in the run folder
        is on the import path.

        Args:
            trust: whether to run code that this user has not run before.

        Raises:
            RunError: this user has not run this code before; the recorded file does not load; or the recorded
                settings do not fit it.
        """
        settings = self.recorded()
        name, _ = settings.pop("experiment"), settings.pop("experiment_file")
        try:
            source = (self.path / "experiment.py").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / 'experiment.py'} cannot be read ({error}); restore it.") from error
        siblings = trusted_folder(source)
        if siblings is None and not trust:
            raise RunError(
                f"{self.path / 'experiment.py'} is a program that you have not run before on this machine, and to use "
                f"it is to run it. Read it; then add --trust (in Python: trust=True)."
            )
        try:
            siblings = siblings or experiment_folders()[0]
            file = load_experiment(self.path / "experiment.py", name=name, siblings=siblings, source=source)
        except ImportError as error:
            raise RunError(
                f"{self.path / 'experiment.py'} was recorded with other versions and does not load with these: "
                f"{error}. {self.path / 'versions.json'} names them; install those, or mend the file."
            ) from error
        try:
            return file, config_from_json(file.config_class, settings)
        except ConfigError as error:
            raise RunError(f"{self.path / 'config.json'}: {error}") from error

    def write_timing(self, timing: dict[str, float]) -> None:
        """``timing.json``; where it cannot be written a warning, for a run is not to end with an error for it."""
        try:
            write_json(self.path / "timing.json", timing)
        except OSError as error:
            log.warning("%s could not be written: %s", self.path / "timing.json", error)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock goes with the process, however it ends.

        Meanwhile warnings are kept in ``warnings.log``, beside what is printed.

        Raises:
            RunError: another process trains here, or the folder cannot be written.
        """
        lock = self.path / ".lock"
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                f"cannot write the run folder {self.path}: {error.strerror}. Name another with --run-dir DIR."
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.read(handle, 32).decode() or "unknown"
                raise RunError(
                    f"another process (pid {holder}) is training into {self.path}. "
                    f"Wait for it, or name another folder with --run-dir DIR."
                ) from None
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            with warnings_kept(self.path / "warnings.log"):
                yield
        finally:
            os.close(handle)
