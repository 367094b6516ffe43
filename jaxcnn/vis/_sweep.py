"""What a setting is worth: the accuracy of repeated runs over its values, a line for each way of training."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxcnn.vis._canvas import FAINT, INK, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (TRAIN, TEST, INK, FAINT)
_APART = 0.04  # of neighbouring lines, as a share of the value: bars that lie on each other cannot be read


def draw_sweep(
    ways: Mapping[str, Sequence[Mapping[str, Any]]], path: str | os.PathLike[str], *, over: str, title: str = ""
) -> None:
    """Writes the picture of ``sweep_figure`` in one step, as PNG, PDF or SVG by the path's ending.

    Raises:
        ValueError: nothing to draw, too many ways, a setting that is missing or not positive, or an unknown ending.
    """
    save_figure(sweep_figure(ways, over=over, title=title), path)


def sweep_figure(ways: Mapping[str, Sequence[Mapping[str, Any]]], *, over: str, title: str = "") -> "Figure":
    """Draws test accuracy over the values of a setting, on a logarithmic axis: every seed, their mean and spread.

    Args:
        ways: the name of each line, and the contents of its results files, as ``jaxcnn repeat`` writes them.
        over: the setting whose values are the horizontal axis; positive numbers.
        title: written above.

    Raises:
        ValueError: nothing to draw, more than four ways, or a result in which the setting is missing or not positive.

    >>> runs = [{"test/accuracy": 0.9}, {"test/accuracy": 0.94}]
    >>> result = {"settings": {"labels": 5}, "test/accuracy": {"mean": 0.92, "std": 0.028}, "runs": runs}
    >>> figure = sweep_figure({"from scratch": [result]}, over="labels")
    >>> figure.axes[0].get_xlabel(), [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ('labels', ['5'])
    """
    if not ways or not all(ways.values()):
        raise ValueError("each way of training wants at least one result to draw.")
    if len(ways) > len(_COLOURS):
        raise ValueError(f"at most {len(_COLOURS)} ways can be told apart, not {len(ways)}.")
    values = sorted({_value(result, over) for results in ways.values() for result in results})
    with style():
        figure = new_figure(5.0, 3.2)
        axes = figure.add_axes((0.11, 0.14, 0.86, 0.76))
        for index, (name, results) in enumerate(ways.items()):
            shift = 1 + _APART * (index - (len(ways) - 1) / 2)
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
        raise ValueError(f"a result has {over}={value!r} where a positive number is wanted.")
    return float(value)


def _line(axes: "Axes", name: str, results: Sequence[Mapping[str, Any]], over: str, shift: float, colour: str) -> None:
    """The mean of each result with a bar of one standard deviation up and down, and every run as a dot."""
    places = [shift * _value(result, over) for result in results]
    means = [100 * result["test/accuracy"]["mean"] for result in results]
    spreads = [100 * result["test/accuracy"]["std"] for result in results]
    axes.errorbar(places, means, yerr=spreads, color=colour, marker="o", markersize=4, capsize=2.5, label=name)
    for place, result in zip(places, results, strict=True):
        runs = [100 * run["test/accuracy"] for run in result["runs"]]
        axes.plot([place] * len(runs), runs, ".", color=colour, markersize=3, alpha=0.5)
