"""Train an experiment, or continue a run.

`jaxcnn train lenet5_digits --set epochs=3` starts one; `jaxcnn train --resume RUN` continues one exactly where it was,
and with `--extend epochs=80` for longer. `jaxcnn train --from RUN` starts a new run from the variables of another.
"""

import argparse
import contextlib
import datetime
import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxcnn.cli import _devices, _trust
from jaxcnn.cli._limits import check_limits
from jaxcnn.cli._signals import stop_on_signals
from jaxcnn.cli._standard_output import lasting_output, quiet_threads

HELP = "train an experiment, or continue a run"

# A confusion matrix of more classes is too large to be seen.
MOST_CLASSES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", nargs="?", help="name of an experiment (see `jaxcnn list`), or path of its file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument("--variant", metavar="NAME", help="one of the experiment's VARIANTS (see `jaxcnn show`)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run; runs/NAME-TIME unless given")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
    parser.add_argument(
        "--extend",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="with --resume: change a setting from here on, such as epochs=80; repeatable",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="RUN",
        help="a new run that starts from the variables of this one; of its experiment and settings unless one is named",
    )
    parser.add_argument(
        "--checkpoint", choices=("last", "best"), default="last", help="with --from: which checkpoint (last)"
    )
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=10.0, metavar="M", help="save so often within an epoch, too (10)"
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="write event files for TensorBoard; a resumed run goes on with them"
    )
    _trust.add_argument(parser)
    _devices.add_arguments(parser)


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
    from jaxcnn.train._runs._config import settings_to_json, with_settings
    from jaxcnn.train._runs._discover import find_experiment
    from jaxcnn.train._runs._folder import RunFolder
    from jaxcnn.train._runs._variants import config_of
    from jaxcnn.train._start import started_again, starting_from

    _check_words(options)
    if not options.checkpoint_minutes > 0:
        raise ConfigError(f"--checkpoint-minutes {options.checkpoint_minutes}: expected a number greater than 0.")
    callbacks = _callbacks(options)
    _devices.join_processes(options)
    keep_compiled_programs()
    origin = None
    with together("prepare the run") as same:
        if options.resume is not None:
            place = options.resume
            folder = RunFolder.open(place)
            file, config = _trust.load_experiment(folder, options)
            config = with_settings(config, options.extend)
            settings = settings_to_json(config)
            experiment = started_again(file.build(config), folder)
            parallel = _devices.choose_devices(options, folder.path)
        else:
            if options.experiment is None:
                file, config = _trust.load_experiment(RunFolder.open(options.start), options)
                config = with_settings(config, options.set)
            else:
                file = find_experiment(options.experiment)
                config = config_of(file, options.set, options.variant)
            settings = settings_to_json(config)  # before the first step: a run must be able to read them back
            experiment = file.build(config)
            if options.start is not None:
                experiment, origin = starting_from(experiment, RunFolder.open(options.start), options.checkpoint)
            parallel = _devices.choose_devices(options)
            parallel.check(experiment.batch_size)
            dry_run(experiment)  # before the folder is made: a mistake leaves nothing behind
            place = options.run_dir or _new_folder(file.name)
        same |= {"experiment": file.name, "text of the experiment": _digest(file.source)}
        same |= settings | comparable(experiment, parallel)
    with together("make the run folder"):
        if options.resume is None and is_first():
            RunFolder.create(place, file, settings, parallel.settings, origin=origin)
    with together("find the run folder") as same:
        folder = RunFolder.open(place)
        same["the run in the folder"] = folder.identity
    extended = settings if options.extend else None
    return _train(folder, experiment, parallel, options.checkpoint_minutes, callbacks, extended)


def _callbacks(options: argparse.Namespace) -> list[Any]:
    """A callback that writes event files, if they were asked for or a run that is resumed has some."""
    from jaxcnn.train._watch import TensorBoard

    if options.tensorboard:
        return [TensorBoard()]
    if options.resume is None or not (options.resume / "tensorboard").is_dir():
        return []
    try:
        return [TensorBoard()]
    except ModuleNotFoundError as error:
        from jaxcnn.train._reports._warnings_log import log

        log.warning("the event files in %s are not continued: %s", options.resume / "tensorboard", error)
        return []


def _check_words(options: argparse.Namespace) -> None:
    """Refuses options that do not go together.

    Raises:
        ConfigError: says which.
    """
    from jaxcnn.train._errors import ConfigError

    named = [options.experiment, options.resume, options.start]
    if all(each is None for each in named) or (options.resume is not None and named != [None, options.resume, None]):
        raise ConfigError(
            "name an experiment, such as lenet5_digits, or a run to continue with --resume RUN, or one to start from "
            "with --from RUN."
        )
    if options.resume is not None and (options.set or options.variant or options.run_dir):
        raise ConfigError(
            "--resume continues a run as it was recorded; --set, --variant and --run-dir do not go with it. To train "
            "it for longer: --extend epochs=N. To change anything else, start a new run from its variables: --from RUN."
        )
    if options.extend and options.resume is None:
        raise ConfigError("--extend changes a run that exists; name it with --resume RUN.")
    if options.variant and options.experiment is None:
        raise ConfigError("--variant selects among the variants of an experiment; name the experiment.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _new_folder(name: str) -> Path:
    import jax

    from jaxcnn.train._errors import ConfigError
    from jaxcnn.train._runs._folder import RunFolder

    if jax.process_count() > 1:
        raise ConfigError("several processes need one folder that all of them see: name it with --run-dir DIR.")
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return RunFolder.unused(Path("runs") / f"{name}-{stamp}")


def _train(
    folder: Any,
    experiment: Any,
    parallel: Any,
    minutes: float,
    callbacks: list[Any],
    extended: dict[str, Any] | None,
) -> int:
    """Trains in the folder; ``extended`` are the settings of a run that is trained for longer."""
    from jaxcnn.cli._output import console
    from jaxcnn.train._distributed import is_first, together
    from jaxcnn.train._extend import extend_run
    from jaxcnn.train._loop import train_run
    from jaxcnn.train._recorded import record_model
    from jaxcnn.train._reports._progress import ConsoleProgress
    from jaxcnn.train._trained import Trained, write_measured

    screen = console()
    screen.quiet = not is_first()
    screen.print(f"run folder  {folder.path}", highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        with together("lock the run folder"):
            stack.enter_context(_devices.one_writer(folder))
            if is_first():
                record_model(experiment, folder)
        if extended is not None:
            screen.print(extend_run(folder, experiment, extended, parallel), highlight=False, soft_wrap=True)
        stop = stack.enter_context(stop_on_signals())
        with ConsoleProgress(
            screen, steps_per_epoch=experiment.steps_per_epoch, batch_size=experiment.batch_size
        ) as progress:
            outcome = train_run(
                experiment,
                folder,
                progress=progress,
                should_stop=lambda: stop.signal is not None,
                parallel=parallel,
                checkpoint_minutes=minutes,
                callbacks=callbacks,
            )
        if outcome.metrics is None:
            screen.print(f"stopped at step {outcome.step}; everything is saved. Continue with:", highlight=False)
            screen.print(f"  jaxcnn train --resume {folder.path}", highlight=False, soft_wrap=True)
            return 128 + int(stop.signal or signal.SIGINT)
        trained = Trained(experiment, outcome.variables, outcome.step)
        measured = write_measured(folder, trained)
        outputs, targets = _outputs(trained, parallel)
        pictures = _draw(folder, experiment, outputs, targets) if is_first() else []
    figures = {name: value for name, value in outcome.metrics.items() if name.startswith("test/")}
    screen.print(
        f"{_in_words(figures)}   pictures  {', '.join(pictures) or 'none'}"
        + (f"   measured  {', '.join(measured)}" if measured else ""),
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _in_words(figures: dict[str, float]) -> str:
    """The figures of the test split, shares in per cent; losses where there is nothing else."""
    from jaxcnn.train._reports._progress import SHARES

    names = {name: name.removeprefix("test/") for name in figures}
    shares = [
        f"{name.replace('_', ' ').replace('iou', 'IoU')}  {100 * figures[full]:.2f} %"
        for full, name in names.items()
        if name in SHARES
    ]
    others = [f"{name.replace('_', ' ')}  {figures[full]:.4f}" for full, name in names.items() if name not in SHARES]
    return "test " + "   ".join(shares or others)


def _outputs(trained: Any, parallel: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the run predicts for the test split, and the targets of that; nothing where no picture shows it."""
    from jaxcnn.train._evaluate import Evaluator, Inference

    experiment = trained.experiment
    if experiment.predict is None or not 0 < len(experiment.data.class_names) <= MOST_CLASSES:
        return {}, {}
    evaluator = Evaluator(Inference.of(experiment), experiment.data.test, parallel=parallel)
    outputs, targets = evaluator.outputs(trained.variables)
    return (outputs, targets) if isinstance(outputs, dict) else ({}, {})


def _draw(folder: Any, experiment: Any, outputs: dict[str, Any], targets: dict[str, Any]) -> list[str]:
    """Draws the run's pictures; the names of those that could be drawn.

    A picture that cannot be drawn costs a warning: the run is finished, and its checkpoints and metrics are saved.
    """
    from jaxcnn.train._reports._warnings_log import log

    drawn = []
    for name, draw in _pictures(folder, experiment, outputs, targets).items():
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


def _pictures(
    folder: Any, experiment: Any, outputs: dict[str, Any], targets: dict[str, Any]
) -> dict[str, Callable[[Path], object]]:
    """A function for each picture that draws it into a file: curves, and those of the kind of the predictions."""
    from jaxcnn import vis

    data = experiment.data
    found: dict[str, Callable[[Path], object]] = {
        "curves.png": lambda path: vis.draw_curves(folder.metrics.read(), path)
    }
    names = data.class_names

    def confusion(path: Path, truth: Any, guesses: Any) -> None:
        vis.draw_confusion(vis.confusion_matrix(truth.ravel(), guesses.ravel(), len(names)), names, path)

    if "segmentation" in outputs and "segmentation" in targets:
        truth, guesses = targets["segmentation"], outputs["segmentation"]
        title = f"The first of {len(truth):,} test images"
        found["confusion.png"] = lambda path: confusion(path, truth, guesses)
        if not experiment.streams:  # the images of a stream are no longer in memory
            found["segmentation.png"] = lambda path: vis.draw_segmentation(
                data.test["image"], truth, guesses, names, path, title=title
            )
    elif "probabilities" in outputs and "label" in targets and targets["label"].ndim == 1:
        labels, probabilities = targets["label"], outputs["probabilities"]
        found["confusion.png"] = lambda path: confusion(path, labels, probabilities.argmax(-1))
        if not experiment.streams and "image" in data.test:
            found["mistakes.png"] = lambda path: vis.draw_mistakes(
                data.test["image"], labels, probabilities, names, path
            )
    return found
