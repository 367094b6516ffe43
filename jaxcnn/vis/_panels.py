"""Plots side by side: what several runs measured over the same places, a line and a band for each way."""

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
_FEW = 15  # up to so many places each has a dot: a straight line between them was not measured
_WIDTH, _HEIGHT = 3.0, 2.6  # inches of each plot


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot.

    Attributes:
        title: written above.
        over: what the horizontal axis is.
        places: where on it something was measured, in order.
        lines: the name of each way, and what each of its runs measured, ``(runs, places)``.
        limits: of the vertical axis; None fits what is drawn.
    """

    title: str
    over: str
    places: Sequence[float]
    lines: Mapping[str, Sequence[Sequence[float]]]
    limits: tuple[float, float] | None = None


def draw_panels(panels: Sequence[Panel], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``panels_figure`` in one step, as PNG, PDF or SVG by the path's ending.

    Raises:
        ValueError: nothing to draw, too many lines, values that do not match the places, or an unknown ending.
    """
    save_figure(panels_figure(panels), path)


def panels_figure(panels: Sequence[Panel]) -> "Figure":
    """Draws the plots in a row: each way's mean over its runs, in a band from their least to their greatest.

    Raises:
        ValueError: no plot, one without a line or with more than four, or runs that did not measure at every place.

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
        raise ValueError(f"{panel.title!r} has {len(panel.lines)} lines; from 1 to {len(_COLOURS)} can be told apart.")
    for name, runs in panel.lines.items():
        if not runs or any(len(run) != len(panel.places) for run in runs):
            raise ValueError(
                f"{panel.title!r}: each run of {name!r} wants a value for each of the "
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
