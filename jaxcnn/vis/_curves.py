"""Learning curves: loss, error or other measures, and learning rates of a run."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcnn.vis._canvas import FAINT, INK, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NEEDED = ("step", "epoch", "train/loss")
_RATE = "learning_rate"
_MOST_MEASURES = 3  # panels of a run without accuracy, after its loss
_COLOURS = {"train": TRAIN, "val": TEST, "test": TEST}
# Below the picture, since the two losses of an epoch are computed differently.
_CAPTION = (
    "train: means over the epoch while it is trained, with augmentation, dropout and label smoothing where used\n"
)
_CAPTION_HELD = "{held}: after the epoch, without them"
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

    A run without accuracy has panels of its first three other measures instead of its error. Where there is a
    validation split, its values are drawn in place of those of the test split, whose error is written as a number. An
    axis is logarithmic if its values span a factor of ten; zero is then drawn at the bottom. Values that are not finite
    and epochs without evaluation leave gaps; of a run that is never evaluated only the training is drawn.

    Args:
        records: of ``metrics.jsonl``, in order, each with ``step``, ``epoch`` and ``train/loss``; further names are
            drawn where they are there: ``learning_rate``, or ``learning_rate/NAME`` of several optimizers, and measures
            of ``train`` and of ``test`` or ``val``, such as ``test/accuracy`` (a fraction).

    Raises:
        ValueError: no record, a missing value, or accuracies that are not fractions.

    >>> rates = {"step": 9, "epoch": 1, "learning_rate": 0.1, "train/accuracy": 0.5, "test/accuracy": 0.75}
    >>> figure = curves_figure([rates | {"train/loss": 1.2, "test/loss": 0.9}])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Error (%)', 'Learning rate']
    >>> figure.axes[1].get_title(loc="right")
    'test error: final 25.00 %, best 25.00 % (epoch 1)'
    >>> figure = curves_figure([{"step": 9, "epoch": 1, "train/loss": 1.2, "test/psnr": 30.0}])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Psnr']
    """
    held = "val" if any(name.startswith("val/") for record in records for name in record) else "test"
    values = _columns(records, held)
    unit = "epoch" if np.all(np.diff(values["epoch"]) > 0) else "step"
    time = values[unit]
    measures = _measures(values)
    panels = ["loss", "accuracy"] if "accuracy" in measures else ["loss", *measures[:_MOST_MEASURES]]
    rates = {name: line for name, line in values.items() if name.split("/")[0] == _RATE}
    with style():
        figure, axes = _layout(len(panels), has_rates=bool(rates))
        caption = _CAPTION + _CAPTION_HELD.format(held=held) * any(name.startswith(f"{held}/") for name in values)
        figure.text(0.013, 0.045 / figure.get_figheight(), caption, size=6, color=FAINT)
        for place, name in zip(axes, panels, strict=False):
            lines = {split: values[f"{split}/{name}"] for split in ("train", held) if f"{split}/{name}" in values}
            if name == "accuracy":
                errors = {split: 100 * (1 - line) for split, line in lines.items()}
                drawn = _panel(place, "Error (%)", time, errors)
                if held in errors:
                    last = max(index for index, each in enumerate(records) if f"{held}/{name}" in each)
                    _annotate_errors(place, time, errors[held], drawn[held], unit, _words(held, records[last]), last)
            else:
                _panel(place, name.replace("_", " ").capitalize(), time, lines)
        if rates:
            _draw_rates(axes[-1], time, rates)
        _name_time(axes, time, unit)
    return figure


def _layout(panels: int, *, has_rates: bool) -> "tuple[Figure, list[Axes]]":
    """A figure with axes one below the other, the last one lower if it is for rates.

    The layout is fixed, since the distance between the labels at the ends of the lines is in inches.
    """
    heights = [2.24] * panels + [0.72] * has_rates
    gap, below, above = 0.414, 0.65, 0.254
    height = below + sum(heights) + gap * (len(heights) - 1) + above
    figure = new_figure(5.5, height)
    axes: list[Axes] = []
    top = height - above
    for each in heights:
        shared = axes[0] if axes else None
        axes.append(figure.add_axes((0.13, (top - each) / height, 0.785, each / height), sharex=shared))
        top -= each + gap
    return figure, axes


def _name_time(axes: "list[Axes]", time: np.ndarray, unit: str) -> None:
    """Names the horizontal axis, below the last panel only."""
    from matplotlib.ticker import MaxNLocator

    first, last = float(time[0]), float(time[-1])
    axes[-1].set_xlim((first, last) if last > first else (first - 1, last + 1))
    axes[-1].set_xlabel(unit.capitalize(), labelpad=2)
    axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    for each in axes[:-1]:
        each.tick_params(labelbottom=False)


def _words(held: str, last: Mapping[str, Any]) -> str:
    """The words for the error that is drawn, after the error of the test split if that is another split."""
    tested = held != "test" and "test/accuracy" in last
    return (f"test error {100 * (1 - last['test/accuracy']):.2f} %; " if tested else "") + f"{held} error"


def _measures(values: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the measures without their splits, except for the loss, in the order of the records."""
    names = [name.partition("/")[2] for name in values if name.startswith(("train/", "val/", "test/"))]
    return [name for name in dict.fromkeys(names) if name not in ("loss", "skipped")]


def _columns(records: Sequence[Mapping[str, Any]], held: str) -> dict[str, np.ndarray]:
    """The values of each quantity as a float64 array; ``held`` is the evaluated split that is drawn."""
    if not records:
        raise ValueError("there is no record to draw; a run writes its first one after its first epoch.")
    names = dict.fromkeys(name for record in records for name in record if _is_drawn(name, held))
    evaluated = [name for name in names if name.startswith(f"{held}/")]
    always = dict.fromkeys([*_NEEDED, *(name for name in names if name not in evaluated)])
    for index, record in enumerate(records):
        for name in (*always, *evaluated) if set(evaluated) & set(record) else always:
            if name not in record:
                raise ValueError(f"record {index} has no {name!r}; it has {', '.join(record)}.")
    values = {
        name: np.array([record.get(name, np.nan) for record in records], np.float64) for name in (*always, *evaluated)
    }
    if not np.all(np.diff(values["step"]) > 0):
        raise ValueError("the steps of the records must increase; are these records of two runs?")
    for name in [f"{split}/accuracy" for split in ("train", held)]:
        wrong = values[name][(values[name] < 0) | (values[name] > 1)] if name in values else np.zeros(0)
        if wrong.size:
            raise ValueError(f"{name} must be a fraction between 0 and 1, but one is {wrong[0]:g}.")
    return values


def _is_drawn(name: str, held: str) -> bool:
    return name in ("step", "epoch") or name.split("/")[0] in (_RATE, "train", held)


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
    axes: "Axes", time: np.ndarray, errors: np.ndarray, heights: np.ndarray, unit: str, words: str, last: int
) -> None:
    """Marks the best (ring) and the last (dot) error, and writes their values after the words."""
    if not np.isfinite(errors).any():
        return
    best = int(np.nanargmin(errors))
    at_end = f"final {errors[last]:.2f} %" if np.isfinite(errors[last]) else "final not finite"
    axes.plot(time[last], heights[last], "o", color=TEST, markersize=4, clip_on=False, zorder=4)
    axes.plot(
        time[best], heights[best], "o", color=TEST, markerfacecolor="white", markersize=6, clip_on=False, zorder=3.5
    )
    text = f"{words}: {at_end}, best {errors[best]:.2f} % ({unit} {time[best]:g})"
    axes.set_title(text, loc="right", color=TEST, size=8)


def _draw_rates(axes: "Axes", time: np.ndarray, rates: Mapping[str, np.ndarray]) -> None:
    """The learning rate, or those of several optimizers with a legend."""
    marker = "o" if len(time) < 15 else None
    for (name, line), dashes in zip(rates.items(), itertools.cycle(("-", "--", ":"))):
        label = name.partition("/")[2]
        axes.plot(
            time,
            line,
            color=INK,
            linestyle=dashes,
            linewidth=1.0,
            marker=marker,
            markersize=2,
            clip_on=False,
            label=label,
        )
    axes.set_title("Learning rate" if len(rates) == 1 else "Learning rates", weight="bold")
    if len(rates) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=6, borderpad=0)
    highest = max(float(np.max(line, initial=0.0, where=np.isfinite(line))) for line in rates.values())
    axes.set_ylim(0, 1.1 * highest or 1.0)
    axes.set_yticks([0, highest] if highest else [0], ["0", f"{highest:.3g}"] if highest else ["0"])
