"""Learning curves: loss, error and learning rate of a run."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcnn.vis._canvas import FAINT, INK, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NEEDED = ("step", "epoch", "learning_rate", "train/loss", "train/accuracy")
_COLOURS = {"train": TRAIN, "val": TEST, "test": TEST}
# Below the picture, since the two losses of one epoch are not of the same thing.
_CAPTION = (
    "train: means over the epoch while it is trained, with augmentation, dropout and label smoothing where used\n"
    "{held}: after the epoch, without them"
)
# The ratio of the largest to the smallest value from which an axis is logarithmic; a linear one would flatten the end.
_LOG_FROM = 10.0


def draw_curves(records: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``curves_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        records: as in ``curves_figure``.
        path: of the file.

    Raises:
        ValueError: no record, a missing value, accuracies that are not fractions, or an unknown suffix.

    >>> draw_curves([], "curves.png")
    Traceback (most recent call last):
    ValueError: draw_curves: there is no record to draw; a run writes its first one after its first epoch.
    """
    save_figure(curves_figure(records), path)


def curves_figure(records: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draws loss, error (``100 (1 - accuracy)`` per cent) and learning rate of a run, with its final and best error.

    Where there is a validation split, its loss and error are drawn in place of those of the test split, whose error is
    written as a number. An axis is logarithmic if its values span a factor of ten; zero is then drawn at the bottom.
    Values that are not finite and epochs without evaluation leave gaps.

    Args:
        records: of ``metrics.jsonl``, in order, each with ``step``, ``epoch``, ``learning_rate`` and, for ``train`` and
            ``test`` or ``val``, ``loss`` and ``accuracy`` (a fraction).

    Raises:
        ValueError: no record, a missing value, or accuracies that are not fractions.

    >>> rates = {"step": 9, "epoch": 1, "learning_rate": 0.1, "train/accuracy": 0.5, "test/accuracy": 0.75}
    >>> figure = curves_figure([rates | {"train/loss": 1.2, "test/loss": 0.9}])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Error (%)', 'Learning rate']
    >>> figure.axes[1].get_title(loc="right")
    'test error: final 25.00 %, best 25.00 % (epoch 1)'
    """
    from matplotlib.ticker import MaxNLocator

    held = "val" if any("val/loss" in record for record in records) else "test"
    values = _columns(records, held)
    splits = ("train", held)
    unit = "epoch" if np.all(np.diff(values["epoch"]) > 0) else "step"
    time = values[unit]
    errors = {split: 100 * (1 - values[f"{split}/accuracy"]) for split in splits}
    with style():
        figure = new_figure(5.5, 5.9)
        figure.text(0.013, 0.008, _CAPTION.format(held=held), size=6, color=FAINT)
        # A fixed layout: the distance between the labels at the ends of the lines is in inches.
        grid = figure.add_gridspec(
            3, 1, height_ratios=[5, 5, 1.6], left=0.13, right=0.915, bottom=0.11, top=0.957, hspace=0.24
        )
        loss_axes = figure.add_subplot(grid[0])
        error_axes = figure.add_subplot(grid[1], sharex=loss_axes)
        rate_axes = figure.add_subplot(grid[2], sharex=loss_axes)
        _panel(loss_axes, "Loss", time, {split: values[f"{split}/loss"] for split in splits})
        drawn = _panel(error_axes, "Error (%)", time, errors)
        _annotate_errors(error_axes, time, errors[held], drawn[held], unit, _words(held, records[-1]))
        _draw_rate(rate_axes, time, values["learning_rate"])
        first, last = float(time[0]), float(time[-1])
        rate_axes.set_xlim((first, last) if last > first else (first - 1, last + 1))
        rate_axes.set_xlabel(unit.capitalize(), labelpad=2)
        rate_axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
        for axes in (loss_axes, error_axes):
            axes.tick_params(labelbottom=False)
    return figure


def _words(held: str, last: Mapping[str, Any]) -> str:
    """The error that is drawn, after that of the test split where it is another one and was evaluated."""
    tested = held != "test" and "test/accuracy" in last
    return (f"test error {100 * (1 - last['test/accuracy']):.2f} %; " if tested else "") + f"{held} error"


def _columns(records: Sequence[Mapping[str, Any]], held: str) -> dict[str, np.ndarray]:
    """The values of each quantity as a float64 array; ``held`` is the evaluated split that is drawn."""
    evaluated = (f"{held}/loss", f"{held}/accuracy")
    if not records:
        raise ValueError("there is no record to draw; a run writes its first one after its first epoch.")
    for index, record in enumerate(records):
        for name in (*_NEEDED, *evaluated) if set(evaluated) & set(record) else _NEEDED:
            if name not in record:
                raise ValueError(f"record {index} has no {name!r}; it has {', '.join(record)}.")
    if not any(evaluated[0] in record for record in records):
        raise ValueError(f"no record has {evaluated[0]!r}; was none of these epochs evaluated?")
    names = (*_NEEDED, *evaluated)
    values = {name: np.array([record.get(name, np.nan) for record in records], np.float64) for name in names}
    if not np.all(np.diff(values["step"]) > 0):
        raise ValueError("the steps of the records must increase; are these records of two runs?")
    for name in ("train/accuracy", evaluated[1]):
        wrong = values[name][(values[name] < 0) | (values[name] > 1)]
        if wrong.size:
            raise ValueError(f"{name} must be a fraction between 0 and 1, but one is {wrong[0]:g}.")
    return values


def _panel(axes: "Axes", title: str, time: np.ndarray, lines: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Draws the lines of two splits with labels at their ends, and returns the values as drawn."""
    floor = _set_scale(axes, np.concatenate(list(lines.values())))
    drawn = {
        split: np.where(np.isfinite(line), np.maximum(line, floor), np.nan) if floor else line
        for split, line in lines.items()
    }
    for split, line in drawn.items():
        # Single epochs between gaps are not visible as a line.
        marker = "o" if np.isfinite(line).sum() < 15 else None
        axes.plot(time, line, color=_COLOURS[split], marker=marker, markersize=2.5, clip_on=False, zorder=3)
    axes.set_title(title, weight="bold")
    axes.grid(True, axis="y")
    _name_ends(axes, drawn)
    return drawn


def _set_scale(axes: "Axes", values: np.ndarray) -> float:
    """Sets scale and limits of the vertical axis. Returns the value at which zero is drawn on a logarithmic axis."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    values = values[np.isfinite(values)]
    if not values.size:
        axes.set_ylim(0, 1)
        return 0.0
    low, high = float(values.min()), float(values.max())
    positive = values[values > 0]
    if low < 0 or not positive.size or high / positive.min() < _LOG_FROM:
        margin = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
        # The axis includes zero unless all values are far from it.
        axes.set_ylim(min(0.0, low - margin) if low < 0.5 * high else low - margin, high + margin)
        return 0.0
    smallest, high = float(positive.min()), high * 1.15
    floor = smallest / 2 if low == 0 else 0.0
    ticks = _ticks(smallest / 1.15, high)
    axes.set_yscale("log")
    axes.set_ylim(floor / 1.15 if floor else smallest / 1.15, high)
    axes.yaxis.set_major_locator(FixedLocator([floor, *ticks] if floor else ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if floor and value == floor else f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    return floor


def _ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 times powers of ten, or fewer over several decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if high / low < 1e3 else (1, 3) if high / low < 1e5 else (1,)
    return [tick for power in decades for digit in digits if low <= (tick := float(f"{digit}e{power}")) <= high]


def _name_ends(axes: "Axes", drawn: dict[str, np.ndarray]) -> None:
    """Writes the labels at the right of the last points of their lines, moved so that they do not overlap."""
    ends = {split: line[np.isfinite(line)][-1] for split, line in drawn.items() if np.isfinite(line).any()}
    if not ends:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=FAINT)
        return
    to_points = 72 / axes.figure.dpi
    heights = {split: axes.transData.transform((0, end))[1] * to_points for split, end in ends.items()}
    moves = dict.fromkeys(ends, 0.0)
    if len(ends) == 2:
        lower, upper = sorted(ends, key=lambda split: heights[split])
        missing = max(0.0, 10 - (heights[upper] - heights[lower])) / 2
        moves = {lower: -missing, upper: missing}
    for split, end in ends.items():
        axes.annotate(
            split,
            (1, end),
            xycoords=("axes fraction", "data"),
            xytext=(6, moves[split]),
            textcoords="offset points",
            color=_COLOURS[split],
            weight="bold",
            va="center",
            annotation_clip=False,
        )


def _annotate_errors(
    axes: "Axes", time: np.ndarray, errors: np.ndarray, heights: np.ndarray, unit: str, words: str
) -> None:
    """Marks the best (ring) and the final (dot) error, and writes their values after the words."""
    if not np.isfinite(errors).any():
        return
    best = int(np.nanargmin(errors))
    at_end = f"final {errors[-1]:.2f} %" if np.isfinite(errors[-1]) else "final not finite"
    axes.plot(time[-1], heights[-1], "o", color=TEST, markersize=4, clip_on=False, zorder=4)
    axes.plot(
        time[best], heights[best], "o", color=TEST, markerfacecolor="white", markersize=6, clip_on=False, zorder=3.5
    )
    text = f"{words}: {at_end}, best {errors[best]:.2f} % ({unit} {time[best]:g})"
    axes.set_title(text, loc="right", color=TEST, size=8)


def _draw_rate(axes: "Axes", time: np.ndarray, rates: np.ndarray) -> None:
    axes.plot(
        time, rates, color=INK, linewidth=1.0, marker="o" if len(time) < 15 else None, markersize=2, clip_on=False
    )
    axes.set_title("Learning rate", weight="bold")
    highest = float(np.max(rates, initial=0.0, where=np.isfinite(rates)))
    axes.set_ylim(0, 1.1 * highest or 1.0)
    axes.set_yticks([0, highest] if highest else [0], ["0", f"{highest:.3g}"] if highest else ["0"])
