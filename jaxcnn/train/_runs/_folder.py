"""The folder of a run: the experiment, its settings and versions, metrics and checkpoints.

``config.json`` (experiment and resolved settings), ``experiment.py`` (its text), ``versions.json``, ``parallel.json``
(devices), ``data.json`` (the files of the data, where they are files), ``metrics.jsonl``, ``timing.json``,
``warnings.log`` if there were warnings, ``checkpoints/last`` and ``checkpoints/best``, and pictures.
"""

import contextlib
import datetime
import json
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxcnn._files import write_json, write_text
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._reports import log, warnings_kept
from jaxcnn.train._runs._config import config_from_json
from jaxcnn.train._runs._discover import ExperimentFile, check_path, experiment_folders, load_experiment
from jaxcnn.train._runs._durable_folders import make_folder, new_folder
from jaxcnn.train._runs._lock import run_lock
from jaxcnn.train._runs._metrics import MetricsLog
from jaxcnn.train._runs._trust import remember, trusted_folder
from jaxcnn.train._runs._versions import versions

# The types of the entries of ``parallel.json``.
_DEVICES = {"devices": int, "spelling": str, "batch_stats": str, "accumulate": int, "fsdp": bool}
# Entries of config.json that are not settings; those of the second line are in some runs only.
_ABOUT = ("run", "experiment", "experiment_file")
FROM, EXTENDED = _ABOUT_SOME = ("from", "extended")


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = MetricsLog(path / "metrics.jsonl")

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @staticmethod
    def unused(path: Path) -> Path:
        """Makes an empty folder for a run: the path, or ``path-2``, ``path-3``, ... where others have taken it.

        Raises:
            RunError: it cannot be made.
            ConfigError: the path is not UTF-8.
        """
        check_path(path)
        with _cannot_write(path):
            return new_folder(path)

    @staticmethod
    def unused_in_runs(name: str) -> Path:
        """Makes an empty folder ``runs/NAME-TIME``; other characters than letters, digits, - and _ become _.

        Raises:
            RunError: it cannot be made.
            ConfigError: there are several processes, whose clocks differ.
        """
        if jax.process_count() > 1:
            raise ConfigError("several processes need one folder that all of them see: name it with --run-dir DIR.")
        plain = "".join(each if each.isalnum() or each in "-_" else "_" for each in name)
        return RunFolder.unused(Path("runs") / f"{plain}-{datetime.datetime.now().strftime('%Y%m%d-%H%M%S')}")

    @staticmethod
    def create(
        path: Path,
        file: ExperimentFile | None,
        settings: dict[str, Any],
        devices: dict[str, Any] | None = None,
        *,
        name: str = "",
        origin: dict[str, Any] | None = None,
    ) -> "RunFolder":
        """Makes the folder of a new run and records what is about to be run.

        Without a file, as of a run from Python, there is no ``experiment.py``, and ``name`` is the name of the run.
        ``origin`` describes the run whose variables this one starts from.

        Of two processes that create a run in one folder at the same time, one gets an error and changes nothing.
        ``config.json`` is written last: a folder without it holds no run.

        Raises:
            RunError: the folder holds a run already, or cannot be written.
            ConfigError: a setting has the name of another entry of ``config.json``, or the path is not UTF-8.
        """
        check_path(path)
        if reserved := {*_ABOUT, *_ABOUT_SOME} & settings.keys():
            raise ConfigError(f"a setting cannot be named {' or '.join(sorted(reserved))}. Rename it.")
        with _cannot_write(path):
            make_folder(path)
            with run_lock(path):
                if (path / "config.json").exists():
                    again = f"jaxcnn train --resume {shlex.quote(str(path))}"
                    raise RunError(f"{path} holds a run already. Continue it with: {again}")
                if file is not None:
                    write_text(path / "experiment.py", file.source)
                write_json(path / "versions.json", versions(Path.cwd() if file is None else file.path))
                if devices is not None:
                    write_json(path / "parallel.json", devices)
                RunFolder(path).metrics.path.touch()  # no row yet, which differs from a lost file
                names = (name, "") if file is None else (file.name, str(file.path))
                about = dict(zip(_ABOUT, (secrets.token_hex(8), *names), strict=True))
                write_json(path / "config.json", about | ({} if origin is None else {FROM: origin}) | settings)
                if file is not None:
                    remember(file.source, file.siblings)
        return RunFolder(path)

    @staticmethod
    def open(path: "str | os.PathLike[str] | RunFolder") -> "RunFolder":
        """An existing run, by the path of its folder; a run that is open already is returned unchanged.

        Raises:
            RunError: the folder holds no run, or a link.
        """
        if isinstance(path, RunFolder):
            return path
        path = Path(path)
        try:
            there, holds_run = path.exists(), (path / "config.json").is_file()
        except (OSError, ValueError) as error:  # a path that is too long, or has a NUL character
            raise RunError(f"cannot read the run folder {path}: {_reason(error)}.") from error
        if not holds_run:
            what = "there is no run (no config.json) in" if there else "there is no folder"
            raise RunError(f"{what} {path}. `jaxcnn list` names the runs in ./runs.")
        refuse_links(path)
        run = RunFolder(path)
        if not run.metrics.path.exists() and any(run.checkpoints.glob("last/*")):
            log.warning("%s is missing; `jaxcnn train --resume %s` restores it from the checkpoint", *_paths(run))
        return run

    def recorded(self) -> dict[str, Any]:
        """The content of ``config.json``.

        Raises:
            RunError: it cannot be read, or lacks an entry.
        """
        file = self.path / "config.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            missing = [name for name in _ABOUT if name not in content]
            for entry in content.get(EXTENDED, []):
                dict(entry["settings"], step=int(entry["step"]))
            dict(content.get(FROM, {}))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise RunError(f"{file} is damaged ({error}); restore it or start a new run.") from error
        if missing or not isinstance(content, dict):
            raise RunError(f"{file} is damaged (it has no {', '.join(missing)}); restore it or start a new run.")
        return content

    @property
    def identity(self) -> str:
        """A random number that this run's checkpoints carry."""
        identity: str = self.recorded()["run"]
        return identity

    def settings(self) -> dict[str, Any]:
        """The settings of ``config.json``, with those that the run was extended by.

        Raises:
            RunError: it cannot be read.
        """
        recorded = self.recorded()
        found = {name: value for name, value in recorded.items() if name not in (*_ABOUT, *_ABOUT_SOME)}
        for each in recorded.get(EXTENDED, []):
            found |= each["settings"]
        return found

    @property
    def origin(self) -> dict[str, Any] | None:
        """The run from whose variables this run started: its folder, identity, checkpoint and step."""
        origin: dict[str, Any] | None = self.recorded().get(FROM)
        return origin

    def extend(self, step: int, settings: dict[str, Any]) -> None:
        """Records settings that hold from a step on; the earlier ones stay. The caller holds the run's lock.

        The recorded model, which may be another with these settings, is removed; ``fit`` records it.

        Raises:
            RunError: the folder cannot be written.
        """
        recorded = self.recorded()
        entry = {"step": step, "settings": settings}
        with _cannot_write(self.path):
            write_json(self.path / "config.json", {**recorded, EXTENDED: [*recorded.get(EXTENDED, []), entry]})
            (self.path / "model.json").unlink(missing_ok=True)

    def replace_settings(self, settings: dict[str, Any]) -> None:
        """Replaces the settings of a run of which nothing is saved. The caller holds the run's lock.

        Raises:
            RunError: the folder cannot be written.
        """
        recorded = self.recorded()
        about = {name: recorded[name] for name in (*_ABOUT, FROM) if name in recorded}
        with _cannot_write(self.path):
            write_json(self.path / "config.json", about | settings)

    def devices(self) -> dict[str, Any]:
        """The number of devices and the options of ``parallel.json``; empty without that file.

        Raises:
            RunError: it cannot be read, or an entry is unknown or of another type.
        """
        file = self.path / "parallel.json"
        if not file.exists():
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"expected a JSON object, got {type(content).__name__}")
            for name, value in content.items():
                if type(value) is not _DEVICES.get(name):
                    raise ValueError(f"unexpected entry {name!r}: {str(value)[:50]!r}")
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{file} is damaged ({error}). It records --devices, --spelling, --batch-stats, --accumulate and "
                f"--fsdp: delete it, and give those that the run was started with."
            ) from error
        return content

    @property
    def has_model(self) -> bool:
        """Whether the run has ``model.json``, from which it can be used without its code."""
        return (self.path / "model.json").exists()

    def measured(self) -> dict[str, Any]:
        """The measurements of the experiment after training, from ``measured.json``; empty without that file."""
        file = self.path / "measured.json"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return found

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
        name = self.recorded()["experiment"]
        if not self.recorded()["experiment_file"]:
            raise RunError(
                f"{self.path} was trained from Python and has no experiment.py. To use it: "
                f"jaxcnn.load({str(self.path)!r}). To continue it, call train.fit with the same "
                f"experiment and this folder."
            )
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
                f"{error}. {self.path / 'versions.json'} names them; install those, or repair the file."
            ) from error
        try:
            return file, config_from_json(file.config_class, self.settings())
        except ConfigError as error:
            raise RunError(f"{self.path / 'config.json'}: {error}") from error

    def write_timing(self, timing: dict[str, float]) -> None:
        """Writes ``timing.json``; warns where it cannot be written, since a finished run is not to end in an error."""
        try:
            write_json(self.path / "timing.json", timing)
        except OSError as error:
            log.warning("%s could not be written: %s", self.path / "timing.json", error)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock goes with the process, however it ends.

        Meanwhile warnings are printed and kept in ``warnings.log``.

        Raises:
            RunError: another process trains here, the folder cannot be written, or it has a link in it.
        """
        with contextlib.ExitStack() as stack:
            with _cannot_write(self.path):
                stack.enter_context(run_lock(self.path))
            refuse_links(self.path)
            stack.enter_context(warnings_kept(self.path / "warnings.log"))
            yield


def refuse_links(path: Path) -> None:
    """Refuses a run folder with anything in it but files and folders: writing through a link changes something else.

    The run folder itself may be a link.

    Raises:
        RunError: names the first that is not a file or a folder.
    """
    for place, folders, files in os.walk(path):
        for each in (Path(place, name) for name in (*folders, *files)):
            try:
                kind = each.lstat().st_mode
            except FileNotFoundError:  # a process that trains here has removed it
                continue
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                what = f"a link to {each.readlink()}" if stat.S_ISLNK(kind) else "neither a file nor a folder"
                raise RunError(
                    f"{each} is {what}, which a run folder may not contain: what is written there would change "
                    f"something outside of it. Put the file or folder itself in its place. To keep a run on another "
                    f"disk, name a folder there with --run-dir DIR."
                )


@contextlib.contextmanager
def _cannot_write(path: Path) -> Iterator[None]:
    """Turns an error of the operating system into one for the user."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        if isinstance(error, ConfigError):
            raise
        raise RunError(
            f"cannot write the run folder {path}: {_reason(error)}. Name another with --run-dir DIR."
        ) from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _paths(run: RunFolder) -> tuple[Path, str]:
    return run.metrics.path, shlex.quote(str(run.path))
