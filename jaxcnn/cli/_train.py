"""Train an experiment, or continue a run.

`jaxcnn train lenet5_digits --set epochs=3` starts a run. `jaxcnn train --resume RUN` continues one from its last
checkpoint, and `--extend epochs=80` trains it for longer. `jaxcnn train --from RUN` starts a new run from the variables
of another. Ctrl-C saves a checkpoint and prints the command that continues the run.
"""

import argparse
import contextlib
import logging
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn._reprs import SHARES, measure_in_words
from jaxcnn.cli import _devices, _port, _trust
from jaxcnn.cli._limits import check_limits
from jaxcnn.cli._signals import stop_on_signals
from jaxcnn.cli._standard_output import lasting_output, quiet_threads

if TYPE_CHECKING:
    from jaxcnn.train import Start

HELP = "train an experiment, or continue a run"
EXAMPLES = (
    "jaxcnn train lenet5_digits --set epochs=3",
    "jaxcnn train my_experiment.py --run-dir runs/mine --tensorboard",
    "jaxcnn train lenet5_digits --live",
    "jaxcnn train lenet5_digits --keep-epochs 1,2,5,10,20,40",
    "jaxcnn train --resume runs/mine",
    "jaxcnn train --resume runs/mine --extend epochs=80",
    "jaxcnn train --from runs/mine --set peak_lr=1e-4",
    "jaxcnn train lenet5_digits --devices 8 --spelling shard_map",
)

log = logging.getLogger("jaxcnn")

# A confusion matrix of more classes is too large to be seen.
MOST_CLASSES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "experiment", nargs="?", help="name of an experiment (see `jaxcnn list`), or the path of its file"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument("--variant", metavar="NAME", help="one of the experiment's VARIANTS (see `jaxcnn show`)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run (runs/NAME-TIME)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
    parser.add_argument(
        "--extend",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="with --resume: change a setting for the remaining steps, such as epochs=80; repeatable",
    )
    parser.add_argument(
        "--from",
        type=Path,
        metavar="RUN",
        help="start a new run from the variables of this one, by default with its experiment and settings",
    )
    parser.add_argument(
        "--checkpoint", choices=("last", "best"), default="last", help="with --from: the checkpoint (last)"
    )
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=10.0, metavar="M", help="minutes between saves within an epoch (10)"
    )
    parser.add_argument(
        "--keep-epochs",
        type=_epochs,
        default=(),
        metavar="LIST",
        help="epochs whose variables are kept, such as 1,2,5,10, for `jaxcnn units RUN --evolution`",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="write event files for TensorBoard, also when the run is resumed"
    )
    parser.add_argument("--live", action="store_true", help="show the run in the browser while it trains")
    _port.add_argument(parser)
    _trust.add_argument(parser)
    _devices.add_arguments(parser)


def _epochs(text: str) -> list[int]:
    """The epochs of a list such as ``1,2,5``."""
    epochs = [int(word) if word.strip().isdecimal() else 0 for word in text.split(",")]
    if min(epochs) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected epochs, counted from 1, such as 1,2,5,10.")
    return epochs


def run(options: argparse.Namespace) -> int:
    """Trains; 0 when finished, 128 and the number of the signal when stopped by one."""
    check_limits()
    with lasting_output(), contextlib.nullcontext() if options.traceback else quiet_threads():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    import jax

    from jaxcnn.train import ConfigError, RunFolder, keep_compiled_programs, resume_run, start_run

    _check_words(options)
    if not options.checkpoint_minutes > 0:
        raise ConfigError(f"--checkpoint-minutes {options.checkpoint_minutes}: expected a number greater than 0.")
    _port.check(options.port)
    callbacks = _callbacks(options)
    _devices.join(options)
    if options.live and jax.process_count() > 1:
        raise ConfigError("--live shows a run of one process. Use jaxcnn watch RUN while several train.")
    keep_compiled_programs()
    devices = _devices.given(options)
    if options.resume is not None:
        start = resume_run(options.resume, extend=options.extend, trust=options.trust, devices=devices)
    else:
        start = start_run(
            options.experiment,
            options.set,
            variant=options.variant,
            origin=vars(options)["from"],
            checkpoint=options.checkpoint,
            trust=options.trust,
            run_dir=options.run_dir,
            devices=devices,
        )
    if options.experiment is None:
        _trust.report_code(RunFolder(options.resume or vars(options)["from"]), options)
    if options.live:
        callbacks.append(_live_view(start.experiment, options))
    return _train(start, options, callbacks)


def _live_view(experiment: Any, options: argparse.Namespace) -> Any:
    """The callback that shows the run in the browser; prints the address."""
    from jaxcnn.live import LiveView

    view = LiveView(experiment, port=options.port)
    print(f"live view   {view.url}", flush=True)
    return view


def _callbacks(options: argparse.Namespace) -> list[Any]:
    """A callback that writes event files, if they were asked for or a run that is resumed has some."""
    from jaxcnn.train import TensorBoard

    if options.tensorboard:
        return [TensorBoard()]
    if options.resume is None or not (options.resume / "tensorboard").is_dir():
        return []
    try:
        return [TensorBoard()]
    except ModuleNotFoundError as error:
        log.warning("the event files in %s are not continued: %s", options.resume / "tensorboard", error)
        return []


def _check_words(options: argparse.Namespace) -> None:
    """Refuses options that do not go together.

    Raises:
        ConfigError: options do not go together; the message names them.
    """
    from jaxcnn.train import ConfigError

    named = [options.experiment, options.resume, vars(options)["from"]]
    if all(each is None for each in named) or (options.resume is not None and named != [None, options.resume, None]):
        raise ConfigError(
            "name an experiment, such as lenet5_digits, or a run to continue with --resume RUN, or one to start from "
            "with --from RUN."
        )
    if options.resume is not None and (options.set or options.variant or options.run_dir):
        raise ConfigError(
            "--resume continues a run as it was recorded; it cannot be combined with --set, --variant and --run-dir. "
            "To train it for longer: --extend epochs=N. To change anything else, start a new run from its variables: "
            "--from RUN."
        )
    if options.extend and options.resume is None:
        raise ConfigError("--extend changes a run that exists; name it with --resume RUN.")
    if options.variant and options.experiment is None:
        raise ConfigError("--variant selects among the variants of an experiment; name the experiment.")


def _train(start: "Start", options: argparse.Namespace, callbacks: list[Any]) -> int:
    import jax

    from jaxcnn.cli._output import console
    from jaxcnn.train import ConsoleProgress, Trained, fit

    experiment, run, parallel, extended = start
    first = jax.process_index() == 0  # the others print and draw nothing
    screen = console()
    screen.quiet = not first
    screen.print("\n".join([f"run folder  {run.path}", *filter(None, [extended])]), highlight=False, soft_wrap=True)
    progress = ConsoleProgress.of(experiment, screen)
    with stop_on_signals() as stop:
        with progress:
            outcome = fit(
                experiment,
                run,
                parallel=parallel,
                progress=progress,
                should_stop=lambda: stop.signal is not None,
                checkpoint_minutes=options.checkpoint_minutes,
                callbacks=callbacks,
                keep_epochs=options.keep_epochs,
            )
        if outcome.metrics is None:
            screen.print(f"stopped at step {outcome.step}; everything is saved. Continue with:", highlight=False)
            screen.print(f"  jaxcnn train --resume {shlex.quote(str(run.path))}", highlight=False, soft_wrap=True)
            return 128 + int(stop.signal or signal.SIGINT)
        outputs, targets = _outputs(Trained(experiment, outcome.variables, outcome.step), parallel)
        with run.locked() if first else contextlib.nullcontext():  # warnings are written to the folder
            pictures = _draw(run, experiment, outputs, targets) if first else []
    figures = {name: value for name, value in outcome.metrics.items() if name.startswith("test/")}
    measured = run.measured()
    screen.print(
        f"{_in_words(figures)}   pictures  {', '.join(pictures) or 'none'}"
        + (f"   measured  {', '.join(measured)}" if measured else ""),
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _in_words(figures: dict[str, float]) -> str:
    """The figures of the test split, shares in per cent; losses where there is nothing else."""
    shares = {name for name in figures if name.removeprefix("test/") in SHARES}
    in_per_cent = [f"{measure_in_words(name)}  {100 * figures[name]:.2f} %" for name in figures if name in shares]
    others = [f"{measure_in_words(name)}  {figures[name]:.4f}" for name in figures if name not in shares]
    return "test " + "   ".join(in_per_cent or others)


def _outputs(trained: Any, parallel: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The predictions for the test split, and its targets; empty if no picture shows them."""
    experiment = trained.experiment
    if experiment.predict is None or not 0 < len(experiment.data.class_names) <= MOST_CLASSES:
        return {}, {}
    outputs, targets = trained.outputs(parallel=parallel)
    return (outputs, targets) if isinstance(outputs, dict) else ({}, {})


def _draw(folder: Any, experiment: Any, outputs: dict[str, Any], targets: dict[str, Any]) -> list[str]:
    """Draws the run's pictures; the names of those that could be drawn.

    A picture that cannot be drawn costs a warning: the run is finished, and its checkpoints and metrics are saved.
    """
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
    from jaxcnn import metrics, vis

    data = experiment.data
    found: dict[str, Callable[[Path], object]] = {
        "curves.png": lambda path: vis.draw_curves(folder.metrics.read(), path)
    }
    names = data.class_names

    def confusion(path: Path, truth: Any, guesses: Any, unit: str) -> None:
        state = metrics.ConfusionMatrix.empty(len(names)).update(truth, guesses)
        vis.draw_confusion(state.compute(), names, path, unit=unit)

    if "segmentation" in outputs and "segmentation" in targets:
        truth, guesses = targets["segmentation"], outputs["segmentation"]
        title = f"The first of {len(truth):,} test images"
        found["confusion.png"] = lambda path: confusion(path, truth, guesses, "pixels")
        if not experiment.streams:  # the images of a stream are no longer in memory
            found["segmentation.png"] = lambda path: vis.draw_segmentation(
                data.test["image"], truth, guesses, names, path, title=title
            )
    elif "boxes" in outputs and "boxes" in targets and not experiment.streams:
        found["boxes.png"] = lambda path: _draw_boxes(data, outputs, targets, path)
    elif "probabilities" in outputs and "label" in targets and targets["label"].ndim == 1:
        labels, probabilities = targets["label"], outputs["probabilities"]
        unit = "images" if "image" in data.test.fields else "examples"
        found["confusion.png"] = lambda path: confusion(path, labels, probabilities.argmax(-1), unit)
        if not experiment.streams and "image" in data.test:
            found["mistakes.png"] = lambda path: vis.draw_mistakes(
                data.test["image"], labels, probabilities, names, path
            )
    return found


def _draw_boxes(data: Any, outputs: dict[str, Any], targets: dict[str, Any], path: Path) -> None:
    """The first test images with the predicted box of each, or all detections, and the true boxes."""
    from jaxcnn.cli._predict_boxes import draw

    title = f"The first of {len(outputs['boxes']):,} test images; true boxes are dashed"
    draw(outputs, data.test["image"], data.class_names, path, title=title, truth=targets["boxes"])
