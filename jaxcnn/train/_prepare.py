"""Runs of experiment files: a new run, or one that is continued, checked to be equal in all processes."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxcnn.train._checkpoints import CheckpointKind
from jaxcnn.train._devices import Parallel
from jaxcnn.train._distributed import is_first, together
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._extend import extend_run
from jaxcnn.train._loop import comparable
from jaxcnn.train._runs import ExperimentFile, RunFolder, config_of, find_experiment, settings_to_json, with_settings
from jaxcnn.train._start import started_again, starting_from


class Start(NamedTuple):
    """The arguments of ``fit``: ``fit(start.experiment, start.run, parallel=start.parallel)``.

    Attributes:
        experiment: what is trained.
        run: the folder of the run.
        parallel: the devices.
        extended: a sentence about the settings that ``resume_run`` changed; empty if there are none.
    """

    experiment: Experiment
    run: RunFolder
    parallel: Parallel
    extended: str = ""


def start_run(
    name_or_path: str | None,
    settings: Iterable[str] = (),
    *,
    variant: str | None = None,
    origin: str | os.PathLike[str] | None = None,
    checkpoint: CheckpointKind = "last",
    trust: bool = False,
    run_dir: str | os.PathLike[str] | None = None,
    devices: Mapping[str, Any] | None = None,
) -> Start:
    """Makes the folder of a new run of an experiment file, as ``jaxcnn train`` does.

    The experiment is traced first, so a mistake is found before the folder is made. With several processes, each calls
    this with the same arguments.

    Args:
        name_or_path: the name of an experiment, or the path of its file; None is the experiment of ``origin``, with
            its settings.
        settings: texts such as ``"epochs=3"``, which change the experiment's ``Config``.
        variant: one of the experiment's ``VARIANTS``.
        origin: the folder of a run from whose variables this one starts.
        checkpoint: of ``origin``.
        trust: whether to run the recorded ``experiment.py`` of ``origin`` if this user has not run it before.
        run_dir: the folder; by default ``runs/NAME-TIME``.
        devices: options of ``Parallel.of_run``, such as ``{"devices": 8, "accumulate": 2}``; by default one device.

    Raises:
        ConfigError: there is no such experiment or setting, or a batch cannot be split evenly over the devices; or
            the processes were started differently.
        RunError: the folder holds a run already, or cannot be written; or ``origin`` cannot be used.
        ValueError, TypeError: what ``dry_run`` refuses.

    >>> import tempfile
    >>> start = start_run("lenet5_digits", ["epochs=1"], run_dir=Path(tempfile.mkdtemp()) / "run")
    >>> start.experiment.epochs, start.parallel.devices, start.run.settings()["epochs"]
    (1, 1, 1)
    """
    with together("prepare the run") as same:
        source = None if origin is None else RunFolder.open(Path(origin))
        if name_or_path is not None:
            file = find_experiment(name_or_path)
            config = config_of(file, settings, variant=variant)
        elif source is None:
            raise ConfigError("name an experiment, or a run to start from.")
        else:
            file, config = source.load_experiment(trust=trust)
            config = with_settings(config, settings)
        recorded = settings_to_json(config)  # refuses settings that cannot be read back
        experiment, started = file.build(config), None
        if source is not None:
            experiment, started = starting_from(experiment, source, checkpoint)
        parallel = Parallel.of_run(None, **(devices or {}))
        parallel.check(experiment.batch_size)
        dry_run(experiment)
        place = Path(run_dir) if run_dir is not None else RunFolder.unused_in_runs(file.name)
        same |= _comparable(file, recorded, experiment, parallel)
    with together("make the run folder"):
        if is_first():
            RunFolder.create(place, file, recorded, parallel.settings, origin=started)
    return Start(experiment, found_by_all(place), parallel)


def resume_run(
    run_dir: str | os.PathLike[str],
    *,
    extend: Iterable[str] = (),
    trust: bool = False,
    devices: Mapping[str, Any] | None = None,
) -> Start:
    """Builds the experiment of a run from its recorded code and settings, to continue it.

    With several processes, each calls this with the same arguments.

    Args:
        run_dir: the folder of the run.
        extend: settings that change from here on, such as ``"epochs=80"``; they are recorded.
        trust: whether to run the recorded ``experiment.py`` if this user has not run it before.
        devices: options of ``Parallel.of_run``; the run keeps those that are not given.

    Raises:
        RunError: there is no run, its record is damaged, or its code is not trusted.
        ConfigError: there are fewer devices, there is no such setting, no step is left to do, or the processes were
            started differently.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "run"
    >>> _ = start_run("lenet5_digits", ["epochs=1"], run_dir=folder)
    >>> resume_run(folder).experiment.epochs
    1
    """
    with together("prepare the run") as same:
        run = RunFolder.open(Path(run_dir))
        file, config = run.load_experiment(trust=trust)
        changes = list(extend)
        config = with_settings(config, changes)
        settings = settings_to_json(config)
        experiment = started_again(file.build(config), run)
        parallel = Parallel.of_run(run, **(devices or {}))
        same |= _comparable(file, settings, experiment, parallel)
    run = found_by_all(run.path)
    return Start(experiment, run, parallel, _extend(run, experiment, settings, parallel) if changes else "")


def _extend(run: RunFolder, experiment: Experiment, settings: dict[str, Any], parallel: Parallel) -> str:
    """Records other settings of a run that no other process trains; returns a sentence about them."""
    with contextlib.ExitStack() as stack:
        with together("lock the run folder"):
            if is_first():
                stack.enter_context(run.locked())
        return extend_run(run, experiment, settings, parallel)


def found_by_all(path: Path) -> RunFolder:
    """The run in a folder, checked to be the same run in all processes.

    Raises:
        RunError: there is no run.
        ConfigError: the processes see different runs.
    """
    with together("find the run folder") as same:
        run = RunFolder.open(path)
        same["the run in the folder"] = run.identity
    return run


def _comparable(
    file: ExperimentFile, settings: dict[str, Any], experiment: Experiment, parallel: Parallel
) -> dict[str, Any]:
    """The values that must be equal in all processes before a folder is made."""
    digest = hashlib.sha256(file.source.encode()).hexdigest()[:16]
    about = {"experiment": file.name, "text of the experiment": digest}
    return about | settings | comparable(experiment, parallel)
