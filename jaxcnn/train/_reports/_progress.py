"""The live display of a run: a bar on a terminal, one line an epoch everywhere else."""

import time
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

from jaxcnn._reprs import SHARES, duration
from jaxcnn._terminal import can_redraw, plain
from jaxcnn.train._early_stopping import STOPPED, WITHOUT_IMPROVEMENT
from jaxcnn.train._experiment import Experiment

Record = dict[str, Any]
NOT_MEASURES = ("skipped", "went_back_to")
SHOWN_OF_A_STEP, SHOWN_OF_AN_EPOCH = 3, 3
COLUMNS = 80  # the width of the line of an epoch


class Progress(Protocol):
    """The methods by which the loop reports progress."""

    def compiling(self) -> None:
        """The step is about to be compiled."""

    def compiled(self, seconds: float, *, from_cache: bool) -> None:
        """It is compiled, or was found compiled by an earlier start."""

    def start(self, *, step: int, total: int) -> None:
        """Training begins at ``step`` of ``total``."""

    def due(self, seconds: float) -> bool:
        """Whether it is ``seconds`` since the last display of a step."""

    def step(self, step: int, measures: Record) -> None:
        """A step is done; the loss and the metrics of its batch."""

    def epoch(self, record: Record, *, waited: float | None = None) -> None:
        """An epoch is done and evaluated; ``waited``: for streams, the share of the steps' time spent on waiting."""


def epoch_line(
    record: Record,
    *,
    epochs: int,
    speed: float,
    left: float,
    waited: float | None = None,
    unit: str = "images",
    best: str | None = None,
) -> str:
    """One epoch in one line of at most 80 columns: measures of training, then of validation and test.

    The measure ``best``, by which the best checkpoint is chosen, is the first of its split.
    For streams it has the share of the steps' time in which the devices waited for data. If the line would be too long,
    the speed is left out, then the measures of training other than the first, then the time that is left.

    >>> record = {"epoch": 3, "step": 33, "train/loss": 0.61, "train/accuracy": 0.95, "test/accuracy": 0.9722}
    >>> epoch_line(record, epochs=40, speed=10512.0, left=12.0)
    'epoch  3/40  loss 0.6100 acc 95.00%  test acc 97.22%  10512 images/s  0:12 left'
    >>> epoch_line(record, epochs=40, speed=10512.0, left=4000.0, waited=0.012)
    'epoch  3/40  loss 0.6100  test acc 97.22%  input wait 1.2%  1:06:40 left'
    """
    train, val, test = (_of_split(record, split) for split in ("train", "val", "test"))
    found = [
        f"{split} {in_words(_short(figures, best))}" for split, figures in (("val", val), ("test", test)) if figures
    ]
    start = f"epoch {record['epoch']:{len(str(epochs))}}/{epochs}"
    tested = "  ".join(found) or "not tested".ljust(15)
    wait = "" if waited is None else f"input wait {100 * waited:.1f}%"
    pace, time_left = f"{speed:.0f} {unit}/s", f"{duration(left)} left"
    lines = [
        "  ".join(filter(None, parts))
        for parts in (
            (start, in_words(train), tested, pace, wait, time_left),
            (start, in_words(train), tested, wait, time_left),
            (start, in_words(train, 1), tested, wait, time_left),
            (start, in_words(train, 1), tested, wait),
        )
    ]
    return next((line for line in lines if len(line) <= COLUMNS), lines[-1])


def _of_split(record: Record, split: str) -> Record:
    """The measures of a split by their own names, without counters such as the number of skipped steps."""
    named = {name.removeprefix(f"{split}/"): value for name, value in record.items() if name.startswith(f"{split}/")}
    return {name: value for name, value in named.items() if name not in NOT_MEASURES}


def _short(measures: Record, best: str | None) -> Record:
    """The measures without the loss, if there are others: a line must fit into a terminal. ``best`` is first."""
    first = {name: measures[name] for name in (best,) if name in measures}
    return first | {name: value for name, value in measures.items() if name != "loss"} or measures


def in_words(measures: Record, most: int = SHOWN_OF_AN_EPOCH) -> str:
    """The first few measures; measures whose names are those of shares are in per cent.

    >>> in_words({"loss": 0.61, "accuracy": 0.95})
    'loss 0.6100 acc 95.00%'
    """

    def one(name: str, value: float) -> str:
        if name in SHARES:
            return f"{SHARES[name]} {100 * value:5.2f}%"
        return f"{name} {value:.4f}" if abs(value) < 1e4 else f"{name} {value:.4g}"

    return " ".join(one(name, value) for name, value in list(measures.items())[:most])


def new_console() -> Console:
    """A console on standard output on which no text is markup; not coloured, and not wrapped, in a file."""
    made = Console(markup=False, emoji=False, highlight=False)
    return made if can_redraw(made) else Console(markup=False, emoji=False, highlight=False, **plain(made))


class ConsoleProgress:
    """Shows a run on a rich console: a live bar on a terminal, else plain lines."""

    def __init__(
        self,
        console: Console,
        *,
        steps_per_epoch: int,
        batch_size: int,
        unit: str = "images",
        best: str | None = None,
    ) -> None:
        self._console, self._unit, self._best = console, unit, best
        self._steps_per_epoch, self._batch_size = steps_per_epoch, batch_size
        self._columns: list[ProgressColumn] = [
            SpinnerColumn("line"),  # in ASCII characters, which every terminal has
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}", markup=False),
        ]
        self._live: RichProgress | None = None
        self._task: TaskID | None = None
        self._shown = time.perf_counter()

    @classmethod
    def of(cls, experiment: Experiment, console: Console) -> "ConsoleProgress":
        """The display for an experiment."""
        unit = "images" if "image" in experiment.data.train.fields else "examples"
        return cls(
            console,
            steps_per_epoch=experiment.steps_per_epoch,
            batch_size=experiment.batch_size,
            unit=unit,
            best=experiment.best and experiment.best.removeprefix("-"),
        )

    def __enter__(self) -> "ConsoleProgress":
        if self._console.is_terminal:
            self._live = RichProgress(*self._columns, console=self._console, transient=True)
            self._live.start()
            self._task = self._live.add_task("starting", total=None, figures="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def compiling(self) -> None:
        """Prints that the first step is being compiled."""
        self._update(description="compiling the training step", total=None, figures="")

    def compiled(self, seconds: float, *, from_cache: bool) -> None:
        """Prints how long the compilation took."""
        origin = ", compiled by an earlier start" if from_cache else ""
        self._print(f"{'loaded' if from_cache else 'compiled'} the training step in {seconds:.1f} s{origin}")

    def start(self, *, step: int, total: int) -> None:
        """Starts the clock of this call."""
        self._total, self._first_step, self._began = total, step, time.perf_counter()
        if step:
            self._print(f"resumed at step {step} of {total}")
        self._update(description="training", total=total, completed=step)

    def due(self, seconds: float) -> bool:
        """Whether a live display is due for a refresh."""
        return self._live is not None and self._since_shown() >= seconds

    def _since_shown(self) -> float:
        return time.perf_counter() - self._shown

    def step(self, step: int, measures: Record) -> None:
        """Refreshes the live display."""
        self._shown = time.perf_counter()
        rate, left = self._pace(step)
        epoch = min((step - 1) // self._steps_per_epoch + 1, self._epochs)
        self._update(
            description=f"epoch {epoch}/{self._epochs}",
            completed=step,
            figures=f"step {step}/{self._total}  {in_words(measures, SHOWN_OF_A_STEP)}  "
            f"{rate:,.0f} {self._unit}/s  {duration(left)} left",
        )

    def epoch(self, record: Record, *, waited: float | None = None) -> None:
        """Prints the epoch's line."""
        rate, left = self._pace(record["step"])
        line = epoch_line(
            record, epochs=self._epochs, speed=rate, left=left, waited=waited, unit=self._unit, best=self._best
        )
        self._print(line)
        if STOPPED in record:
            self._print(f"stopped early: no improvement for {record[WITHOUT_IMPROVEMENT]} epochs")

    @property
    def _epochs(self) -> int:
        return self._total // self._steps_per_epoch

    def _pace(self, step: int) -> tuple[float, float]:
        """Examples a second, evaluation included, and the seconds left at that pace."""
        per_step = (time.perf_counter() - self._began) / max(step - self._first_step, 1)
        return self._batch_size / per_step, per_step * (self._total - step)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _update(self, **fields: object) -> None:
        if self._live is not None and self._task is not None:
            self._live.update(self._task, **fields)  # type: ignore[arg-type]
