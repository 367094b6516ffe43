"""Training from Python: one call, which requires only an experiment."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxcnn.train._devices import Parallel
from jaxcnn.train._distributed import is_first, together
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._early_stopping import EarlyStopping
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._extend import continue_with
from jaxcnn.train._kept import check_epochs
from jaxcnn.train._loop import Outcome, train_run
from jaxcnn.train._prepare import found_by_all
from jaxcnn.train._recorded import record_model
from jaxcnn.train._reports import ConsoleProgress, NotebookProgress, Progress, in_notebook, new_console
from jaxcnn.train._runs import RunFolder
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
    keep_epochs: Iterable[int] = (),
) -> Outcome:
    """Trains an experiment to its end, or continues a run of it.

    The experiment is traced before a folder is made, so that a mistake leaves nothing behind. The run is like one of
    the command: ``jaxcnn predict``, ``jaxcnn evaluate`` and ``jaxcnn list`` work with it, and ``jaxcnn.load`` reads it.
    A run whose folder is made here has no ``experiment.py``; to continue it, call this with the same experiment and
    the same folder. Numbers and texts of the experiment that have changed are recorded with the step from which they
    hold. ``start_run`` makes the folder of an experiment file. With several processes, each calls this with the same
    arguments, and the first one writes.

    Args:
        experiment: what is trained.
        run: the folder of the run, which is made where it does not exist; by default ``runs/NAME-TIME``, by the name
            of the data set.
        parallel: the devices; by default one, or all of several processes.
        progress: reports each epoch; by default it prints lines on standard output, a bar on a terminal, or one
            line that is updated in a notebook.
        should_stop: called before each step; True saves the state and returns.
        checkpoint_minutes: the interval in minutes at which the state is saved within an epoch.
        callbacks: called with the records of steps and epochs, see ``train.Callback``.
        keep_epochs: epochs, counted from 1, whose variables are kept in the folder for ``load_kept``, in addition to
            the last and the best checkpoint. A run that is continued also keeps the epochs that it was started with.

    Returns:
        the outcome, with variables, the records of all epochs, and the folder. What the experiment measures after
        training is in ``measured.json`` of the folder.

    Raises:
        ValueError, TypeError: what ``dry_run`` refuses, an entry of ``callbacks`` that is not a callback, or an entry
            of ``keep_epochs`` that is not an epoch.
        RunError: steps are no longer finite, checkpoints cannot be saved or used, or another process trains there.
        ConfigError: several processes have no common folder, or were given different experiments.

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
    callbacks = check_callbacks(callbacks)
    keep_epochs = check_epochs(keep_epochs)
    parallel = parallel or Parallel.over(1 if jax.process_count() == 1 else None)
    folder = _folder(experiment, run, parallel)
    with contextlib.ExitStack() as stack:
        with together("lock the run folder"):
            if is_first():
                stack.enter_context(folder.locked())
        if not (folder.path / "experiment.py").exists():
            continue_with(folder, experiment, _settings(experiment), parallel)
        if is_first():
            record_model(experiment, folder)
        if progress is None:
            console = new_console()
            console.quiet = not is_first()
            shown = NotebookProgress if in_notebook() and is_first() else ConsoleProgress
            progress = stack.enter_context(shown.of(experiment, console))
        outcome = train_run(
            experiment,
            folder,
            progress=progress,
            should_stop=should_stop,
            parallel=parallel,
            checkpoint_minutes=checkpoint_minutes,
            callbacks=callbacks,
            keep_epochs=keep_epochs,
        )
        if outcome.finished:
            write_measured(folder, Trained(experiment, outcome.variables, outcome.step))
    return outcome


def _folder(experiment: Experiment, run: str | os.PathLike[str] | RunFolder | None, parallel: Parallel) -> RunFolder:
    """The run in a folder, or a new one; the experiment is traced before, unless ``start_run`` has traced it."""
    if isinstance(run, RunFolder) and (run.path / "experiment.py").exists():
        return run
    name = experiment.data.name
    with together("make the run folder"):
        dry_run(experiment)
        path = run.path if isinstance(run, RunFolder) else run
        place = RunFolder.unused_in_runs(name) if path is None else Path(path)
        if is_first() and not (place / "config.json").exists():
            RunFolder.create(place, None, _settings(experiment), parallel.settings, name=name)
    return found_by_all(place)


def _settings(experiment: Experiment) -> dict[str, Any]:
    """The numbers and texts of an experiment without a ``Config``, which ``config.json`` records."""
    values = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    found = {name: value for name, value in values.items() if isinstance(value, int | float | str | None)}
    return found | {
        name: dataclasses.asdict(value) for name, value in values.items() if isinstance(value, EarlyStopping)
    }
