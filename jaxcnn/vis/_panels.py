"""Plots in a row, each with the mean and the range of several runs."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn.vis._canvas import FAINT, INK, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (TRAIN, TEST, INK, FAINT)
_FEW = 15  # up to this number, each measured place has a dot
_WIDTH, _HEIGHT = 3.0, 2.6  # inches of each plot


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot.

    Attributes:
        title: of the plot.
        over: label of the horizontal axis.
        places: positions on the horizontal axis, in order.
        lines: for each line its name and the values of its runs, ``(runs, places)``.
        limits: of the vertical axis; None for automatic limits.
    """

    title: str
    over: str
    places: Sequence[float]
    lines: Mapping[str, Sequence[Sequence[float]]]
    limits: tuple[float, float] | None = None


def draw_panels(panels: Sequence[Panel], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``panels_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        panels: the plots.
        path: of the file.

    Raises:
        ValueError: no plot, too many lines, runs of another length than the places, or an unknown suffix.

    >>> draw_panels([], "panels.png")
    Traceback (most recent call last):
    ValueError: draw_panels: there is no plot to draw.
    """
    save_figure(panels_figure(panels), path)


def panels_figure(panels: Sequence[Panel]) -> "Figure":
    """Draws plots in a row: for each line the mean over its runs and a band from the smallest to the largest value.

    Args:
        panels: the plots.

    Raises:
        ValueError: no plot, a plot without lines or with more than four, or runs of another length than the places.

    >>> panel = Panel(title="Accuracy", over="depth", places=[1, 2], lines={"plain": [[0.5, 0.6], [0.7, 0.8]]})
    >>> line = panels_figure([panel]).axes[0].lines[0]
    >>> line.get_label(), line.get_ydata().round(2)
    ('plain', array([0.6, 0.7]))
    """
    if not panels:
        raise ValueError("there is no plot to draw.")
    for panel in panels:
        _check(panel)
    with style():
        figure = new_figure(_WIDTH * len(panels), _HEIGHT)
        wide = 1 / len(panels)
        for index, panel in enumerate(panels):
            axes = figure.add_axes(((index + 0.15) * wide, 0.16, 0.8 * wide, 0.72))
            _draw(axes, panel)
    return figure


def _check(panel: Panel) -> None:
    if not 1 <= len(panel.lines) <= len(_COLOURS):
        raise ValueError(f"{panel.title!r} has {len(panel.lines)} lines; a plot has from 1 to {len(_COLOURS)}.")
    for name, runs in panel.lines.items():
        if not len(runs) or any(len(run) != len(panel.places) for run in runs):
            raise ValueError(
                f"{panel.title!r}: each run of {name!r} must have a value for each of the "
                f"{len(panel.places)} places, but they have {[len(run) for run in runs]}."
            )


def _draw(axes: "Axes", panel: Panel) -> None:
    marker = "o" if len(panel.places) <= _FEW else None
    for colour, (name, runs) in zip(_COLOURS, panel.lines.items(), strict=False):
        values = np.asarray(runs, np.float64)
        axes.plot(panel.places, values.mean(0), color=colour, label=name, marker=marker, markersize=3)
        if len(values) > 1:
            axes.fill_between(panel.places, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    if marker:
        axes.set_xticks(panel.places, [f"{place:g}" for place in panel.places])
    if panel.limits is not None:
        axes.set_ylim(*panel.limits)
    axes.set_xlabel(panel.over, labelpad=2)
    axes.set_title(panel.title, weight="bold")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if len(panel.lines) > 1:
        axes.legend(loc="best", frameon=False)
