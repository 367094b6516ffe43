"""The accuracy of repeated runs as a function of a setting, with a line for each group of results."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxcnn.vis._canvas import FAINT, INK, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (TRAIN, TEST, INK, FAINT)
_OFFSET = 0.04  # of neighbouring lines, relative to the value, so that error bars do not overlap


def draw_sweep(
    groups: Mapping[str, Sequence[Mapping[str, Any]]], path: str | os.PathLike[str], *, over: str, title: str = ""
) -> None:
    """Writes the picture of ``sweep_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        groups: as in ``sweep_figure``.
        path: of the file.
        over: as in ``sweep_figure``.
        title: as in ``sweep_figure``.

    Raises:
        ValueError: no results, too many groups, a setting that is missing or not positive, or an unknown suffix.

    >>> draw_sweep({}, "sweep.png", over="labels")
    Traceback (most recent call last):
    ValueError: draw_sweep: each group must have at least one result to draw.
    """
    save_figure(sweep_figure(groups, over=over, title=title), path)


def sweep_figure(groups: Mapping[str, Sequence[Mapping[str, Any]]], *, over: str, title: str = "") -> "Figure":
    """Draws test accuracy as a function of a setting, on a logarithmic axis: every seed, mean and standard deviation.

    Args:
        groups: for each line its name and the contents of results files of ``jaxcnn repeat``.
        over: the setting on the horizontal axis, whose values must be positive.
        title: of the picture.

    Raises:
        ValueError: no results, more than four groups, or a result in which the setting is missing or not positive.

    >>> runs = [{"test/accuracy": 0.9}, {"test/accuracy": 0.94}]
    >>> result = {"settings": {"labels": 5}, "test/accuracy": {"mean": 0.92, "std": 0.028}, "runs": runs}
    >>> figure = sweep_figure({"from scratch": [result]}, over="labels")
    >>> figure.axes[0].get_xlabel(), [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ('labels', ['5'])
    """
    if not groups or not all(groups.values()):
        raise ValueError("each group must have at least one result to draw.")
    if len(groups) > len(_COLOURS):
        raise ValueError(f"at most {len(_COLOURS)} groups can be drawn, not {len(groups)}.")
    values = sorted({_value(result, over) for results in groups.values() for result in results})
    with style():
        figure = new_figure(5.0, 3.2)
        axes = figure.add_axes((0.11, 0.14, 0.86, 0.76))
        for index, (name, results) in enumerate(groups.items()):
            shift = 1 + _OFFSET * (index - (len(groups) - 1) / 2)
            _line(axes, name, sorted(results, key=lambda result: _value(result, over)), over, shift, _COLOURS[index])
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(over)
        axes.set_title(title or "Test accuracy (%)", weight="bold")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.legend(loc="lower right", frameon=False)
    return figure


def _value(result: Mapping[str, Any], over: str) -> float:
    value = result["settings"].get(over)
    if not isinstance(value, int | float) or value <= 0:
        raise ValueError(f"a result has {over}={value!r}, which must be a positive number.")
    return float(value)


def _line(axes: "Axes", name: str, results: Sequence[Mapping[str, Any]], over: str, shift: float, colour: str) -> None:
    """Draws the mean of each result with an error bar of one standard deviation, and every run as a dot."""
    places = [shift * _value(result, over) for result in results]
    means = [100 * result["test/accuracy"]["mean"] for result in results]
    spreads = [100 * result["test/accuracy"]["std"] for result in results]
    axes.errorbar(places, means, yerr=spreads, color=colour, marker="o", markersize=4, capsize=2.5, label=name)
    for place, result in zip(places, results, strict=True):
        runs = [100 * run["test/accuracy"] for run in result["runs"]]
        axes.plot([place] * len(runs), runs, ".", color=colour, markersize=3, alpha=0.5)
