"""Train an experiment, or continue a run.

`jaxcnn train lenet5_digits --set epochs=3` starts one; `jaxcnn train --resume RUN` continues one exactly where it was.
"""

import argparse
import contextlib
import dataclasses
import datetime
import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxcnn.cli import _trust, devices
from jaxcnn.cli._limits import check_limits
from jaxcnn.cli._standard_output import lasting_output, quiet_threads
from jaxcnn.cli.signals import stop_on_signals

HELP = "train an experiment, or continue a run"

# A confusion matrix of more classes is too large to be seen.
MOST_CLASSES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", nargs="?", help="name of an experiment (see `jaxcnn list`), or path of its file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run; runs/NAME-TIME unless given")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=10.0, metavar="M", help="save so often within an epoch, too (10)"
    )
    _trust.add_argument(parser)
    devices.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Trains; 0 when finished, 128 and the number of the signal when stopped by one."""
    check_limits()
    with lasting_output(), contextlib.nullcontext() if options.traceback else quiet_threads():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from jaxcnn.train._compile_cache import keep_compiled_programs
    from jaxcnn.train._distributed import is_first, together
    from jaxcnn.train._dry_run import dry_run
    from jaxcnn.train._errors import ConfigError
    from jaxcnn.train._loop import comparable
    from jaxcnn.train._runs.config import with_settings
    from jaxcnn.train._runs.discover import find_experiment
    from jaxcnn.train._runs.folder import RunFolder

    if (options.experiment is None) == (options.resume is None):
        raise ConfigError("name an experiment, such as lenet5_digits, or a run to continue with --resume RUN.")
    if not options.checkpoint_minutes > 0:
        raise ConfigError(f"--checkpoint-minutes {options.checkpoint_minutes}: expected a number greater than 0.")
    devices.join_processes(options)
    keep_compiled_programs()
    with together("prepare the run") as same:
        if options.resume is not None:
            if options.set or options.run_dir:
                raise ConfigError("--resume continues a run as it was recorded; --set and --run-dir do not go with it.")
            place = options.resume
            folder = RunFolder.open(place)
            file, config = _trust.load_experiment(folder, options)
            experiment = file.build(config)
            parallel = devices.choose_devices(options, folder.path)
        else:
            file = find_experiment(options.experiment)
            config = with_settings(file.config_class(), options.set)
            experiment = file.build(config)
            parallel = devices.choose_devices(options)
            parallel.check(experiment.batch_size)
            dry_run(experiment)  # before the folder is made: a mistake leaves nothing behind
            place = options.run_dir or _new_folder(file.name)
        same |= {"experiment": file.name, "text of the experiment": _digest(file.source)}
        same |= dataclasses.asdict(config) | comparable(experiment, parallel)
    with together("make the run folder"):
        if options.resume is None and is_first():
            RunFolder.create(place, file, dataclasses.asdict(config), parallel.settings)
    with together("find the run folder") as same:
        folder = RunFolder.open(place)
        same["the run in the folder"] = folder.identity
    return _train(folder, experiment, parallel, options.checkpoint_minutes)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _new_folder(name: str) -> Path:
    import jax

    from jaxcnn.train._errors import ConfigError
    from jaxcnn.train._runs.folder import RunFolder

    if jax.process_count() > 1:
        raise ConfigError("several processes need one folder that all of them see: name it with --run-dir DIR.")
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return RunFolder.unused(Path("runs") / f"{name}-{stamp}")


def _train(folder: Any, experiment: Any, parallel: Any, minutes: float) -> int:
    from jaxcnn.cli.output import console
    from jaxcnn.train._distributed import is_first, together
    from jaxcnn.train._loop import fit
    from jaxcnn.train._recorded import record_model
    from jaxcnn.train._reports.progress import ConsoleProgress

    screen = console()
    screen.quiet = not is_first()
    screen.print(f"run folder  {folder.path}", highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        with together("lock the run folder"):
            stack.enter_context(devices.one_writer(folder))
            if is_first():
                record_model(experiment, folder)
        stop = stack.enter_context(stop_on_signals())
        with ConsoleProgress(
            screen, steps_per_epoch=experiment.steps_per_epoch, batch_size=experiment.batch_size
        ) as progress:
            outcome = fit(
                experiment,
                folder,
                progress=progress,
                should_stop=lambda: stop.signal is not None,
                parallel=parallel,
                checkpoint_minutes=minutes,
            )
        if outcome.evaluation is None:
            screen.print(f"stopped at step {outcome.step}; everything is saved. Continue with:", highlight=False)
            screen.print(f"  jaxcnn train --resume {folder.path}", highlight=False, soft_wrap=True)
            return 128 + int(stop.signal or signal.SIGINT)
        pictures = _draw(folder, experiment, outcome.evaluation) if is_first() else []
    screen.print(
        f"test {_in_words(outcome.evaluation)}   pictures  {', '.join(pictures) or 'none'}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _in_words(evaluation: Any) -> str:
    names = {"accuracy": "accuracy", "mean_iou": "mean IoU"}
    figures = evaluation.metrics
    return "   ".join(f"{words}  {100 * figures[name]:.2f} %" for name, words in names.items() if name in figures)


def _draw(folder: Any, experiment: Any, evaluation: Any) -> list[str]:
    """Draws the run's pictures; the names of those that could be drawn.

    A picture that cannot be drawn costs a warning: the run is finished, and its checkpoints and metrics are saved.
    """
    from jaxcnn.train._reports.warnings_log import log

    drawn = []
    for name, draw in _pictures(folder, experiment, evaluation).items():
        path = folder.path / name
        try:
            draw(path)
        except Exception as error:  # of the operating system, Matplotlib, Pillow
            log.warning("%s could not be drawn (%s: %s); the run itself is saved", path, type(error).__name__, error)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        else:
            drawn.append(name)
    return drawn


def _pictures(folder: Any, experiment: Any, evaluation: Any) -> dict[str, Callable[[Path], object]]:
    """A function for each picture that draws it into a file."""
    from jaxcnn import vis

    dataset, names = experiment.dataset, experiment.dataset.class_names
    labels, predictions = evaluation.labels, evaluation.predictions

    def confusion(path: Path) -> None:
        matrix = vis.confusion_matrix(labels.ravel(), predictions.ravel(), len(names))
        vis.draw_confusion(matrix, names, path)

    def segmentation(path: Path) -> None:
        title = f"The first of {len(labels):,} test images: {_in_words(evaluation)}"
        vis.draw_segmentation(dataset.test.images, labels, predictions, names, path, title=title)

    def mistakes(path: Path) -> None:
        vis.draw_mistakes(dataset.test.images, labels, evaluation.probabilities, names, path)

    found: dict[str, Callable[[Path], object]] = {
        "curves.png": lambda path: vis.draw_curves(folder.metrics.read(), path)
    }
    if len(names) > MOST_CLASSES:
        return found
    found["confusion.png"] = confusion
    if dataset.test.by_pixel:
        found["segmentation.png"] = segmentation
    elif not experiment.streams:  # the images of a stream are no longer in memory
        found["mistakes.png"] = mistakes
    return found
