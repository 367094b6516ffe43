"""Training from Python: one call, which needs nothing but an experiment."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxcnn.train._devices import Parallel
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._early_stopping import EarlyStopping
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._loop import Outcome, train_run
from jaxcnn.train._recorded import record_model
from jaxcnn.train._reports._progress import ConsoleProgress, Progress, new_console
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._trained import Trained, write_measured
from jaxcnn.train._watch import Callback, check_callbacks


def fit(
    experiment: Experiment,
    run: str | os.PathLike[str] | RunFolder | None = None,
    *,
    parallel: Parallel | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_minutes: float = 10.0,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Trains an experiment to its end, or continues a run of it.

    The experiment is traced first, so that a mistake is found before a folder is made. The run is like one of the
    command: ``jaxcnn predict``, ``jaxcnn evaluate`` and ``jaxcnn list`` work with it, and ``jaxcnn.load`` reads it.
    It has no ``experiment.py``; to continue it, call this with the same experiment and the same folder.

    Args:
        experiment: what is trained.
        run: the folder of the run, which is made where it does not exist; ``runs/NAME-TIME`` unless given, by the name
            of the data set.
        parallel: the devices; one unless given.
        progress: what reports each epoch; lines on standard output, or a bar on a terminal, unless given.
        should_stop: asked before each step; True saves and returns.
        checkpoint_minutes: the interval at which the state is saved within an epoch.
        callbacks: what is called with the records of steps and epochs, see ``train.Callback``.

    Returns:
        the outcome, with variables, the records of all epochs, and the folder. What the experiment measures after
        training is in ``measured.json`` of the folder.

    Raises:
        ValueError, TypeError: what ``dry_run`` refuses, or an entry of ``callbacks`` that is none.
        RunError: steps are no longer finite, checkpoints cannot be saved or used, or another process trains there.

    >>> import tempfile
    >>> import optax
    >>> from jaxcnn import data, models, train
    >>> digits = data.load("digits")
    >>> outcome = fit(
    ...     train.Experiment(
    ...         **train.classification(models.create("lenet5", num_classes=10)),
    ...         data=data.Dataset(name="few", train=digits.train.take(slice(64)), test=digits.test.take(slice(32))),
    ...         optimizer=optax.adam(1e-3), epochs=1, batch_size=32,
    ...     ),
    ...     Path(tempfile.mkdtemp()) / "run",
    ... )  # doctest: +ELLIPSIS
    compiled the training step in ...
    >>> outcome.finished, outcome.step, len(outcome.history)
    (True, 2, 1)
    """
    check_callbacks(callbacks)
    dry_run(experiment)
    parallel = parallel or Parallel.over(1)
    folder = run if isinstance(run, RunFolder) else _folder(experiment, run, parallel)
    with folder.locked(), contextlib.ExitStack() as stack:
        record_model(experiment, folder)
        if progress is None:
            steps, batch = experiment.steps_per_epoch, experiment.batch_size
            progress = stack.enter_context(ConsoleProgress(new_console(), steps_per_epoch=steps, batch_size=batch))
        outcome = train_run(
            experiment,
            folder,
            progress=progress,
            should_stop=should_stop,
            parallel=parallel,
            checkpoint_minutes=checkpoint_minutes,
            callbacks=callbacks,
        )
        if outcome.finished:
            write_measured(folder, Trained(experiment, outcome.variables, outcome.step))
    return outcome


def _folder(experiment: Experiment, path: str | os.PathLike[str] | None, parallel: Parallel) -> RunFolder:
    """The run in a folder, or a new one."""
    name = experiment.data.name
    if path is None:
        plain = "".join(each if each.isalnum() or each in "-_" else "_" for each in name)
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        path = RunFolder.unused(Path("runs") / f"{plain}-{stamp}")
    if (Path(path) / "config.json").exists():
        return RunFolder.open(Path(path))
    return RunFolder.create(Path(path), None, _settings(experiment), parallel.settings, name=name)


def _settings(experiment: Experiment) -> dict[str, Any]:
    """What ``config.json`` records of an experiment that has no ``Config``: its numbers and texts."""
    values = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    found = {name: value for name, value in values.items() if isinstance(value, int | float | str | None)}
    return found | {
        name: dataclasses.asdict(value) for name, value in values.items() if isinstance(value, EarlyStopping)
    }
