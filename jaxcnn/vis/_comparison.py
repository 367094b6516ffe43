"""Several runs in one picture: a panel for each measure that they have in common."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcnn.vis._canvas import FAINT, new_figure, save_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, without yellow, which is too light on white; then the same ones with another style of line.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#222222")
_STYLES = ("-", "--", ":", "-.")
_SPLITS = ("val", "test", "train")  # a measure is drawn of the first of these that all runs have
_MOST_PANELS = 6
_LOG_FROM = 20.0  # the ratio of the largest to the smallest loss from which an axis is logarithmic
_WIDTH, _HEIGHT, _LINE = 3.4, 2.6, 0.17  # inches of a panel, and of a line of the key


def draw_comparison(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``comparison_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        runs: as in ``comparison_figure``.
        path: of the file.

    Raises:
        ValueError: no run, runs without a measure in common, or an unknown suffix.

    >>> draw_comparison({}, "comparison.png")
    Traceback (most recent call last):
    ValueError: draw_comparison: there is no run to draw.
    """
    save_figure(comparison_figure(runs), path)


def comparison_figure(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Figure":
    """Draws one panel for each measure that all runs have, with one line for each run over the epochs.

    The values of a measure are those of the validation split if all runs have them, else of the test split, else of the
    training split; a split for which a run has only one value comes last. Values that are not finite leave gaps.

    Args:
        runs: the records of ``metrics.jsonl`` of each run by the name to be shown.

    Raises:
        ValueError: no run, or runs without a measure in common.

    >>> runs = {name: [{"step": 9, "epoch": 1, "test/loss": loss}] for name, loss in (("a", 0.5), ("b", 0.25))}
    >>> axes, = comparison_figure(runs).axes
    >>> axes.get_title(loc="left"), [line.get_label() for line in axes.lines]
    ('test loss', ['a', 'b'])
    """
    if not runs:
        raise ValueError("there is no run to draw.")
    measures = _measures(runs)
    if not measures:
        raise ValueError(f"the runs {', '.join(runs)} have no measure in common.")
    columns = min(len(measures), 3)
    rows = math.ceil(len(measures) / columns)
    width, height = max(_WIDTH * columns, 5.0), _HEIGHT * rows + _LINE * len(runs) + 0.1
    with style():
        figure = new_figure(width, height)
        grid = figure.add_gridspec(
            rows,
            columns,
            left=0.5 / width,
            right=1 - 0.15 / width,
            bottom=(_LINE * len(runs) + 0.5) / height,
            top=1 - 0.25 / height,
            wspace=0.22,
            hspace=0.4,
        )
        for index, measure in enumerate(measures):
            axes = figure.add_subplot(grid[index // columns, index % columns])
            _draw(axes, runs, measure)
        lines = figure.axes[0].lines
        names = [shortened(str(line.get_label()), int(12 * (width - 0.5))) for line in lines]
        figure.legend(lines, names, loc="lower left", frameon=False, ncols=1, borderaxespad=0.2, labelspacing=0.2)
    return figure


def _measures(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The measures to draw, each of one split, such as ``val/loss``; losses come first."""
    counts = [Counter(name for record in records for name in record) for records in runs.values()]
    shared = {name: min(count[name] for count in counts) for name in counts[0]}
    curves = [name for name, least in shared.items() if least > 1]
    points = [name for name, least in shared.items() if least == 1]
    found: dict[str, str] = {}
    for names in (curves, points):
        for split in _SPLITS:
            for name in names:
                prefix, _, measure = name.partition("/")
                if prefix == split and measure not in ("skipped", "went_back_to"):
                    found.setdefault(measure, name)
    return sorted(found.values(), key=lambda name: "loss" not in name)[:_MOST_PANELS]


def _draw(axes: Any, runs: Mapping[str, Sequence[Mapping[str, Any]]], measure: str) -> None:
    from matplotlib.ticker import MaxNLocator

    seen = []
    for index, (label, records) in enumerate(runs.items()):
        points = [(record["epoch"], record[measure]) for record in records if measure in record]
        epochs, values = np.array(points, np.float64).T
        seen.append(values[np.isfinite(values)])
        axes.plot(
            epochs,
            np.where(np.isfinite(values), values, np.nan),
            color=_COLOURS[index % len(_COLOURS)],
            linestyle=_STYLES[index // len(_COLOURS) % len(_STYLES)],
            marker="o" if np.isfinite(values).sum() < 15 else None,
            markersize=2.5,
            label=label,
        )
    finite = np.concatenate(seen)
    if not finite.size:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=FAINT)
    elif "loss" in measure and finite.min() > 0 and finite.max() / finite.min() > _LOG_FROM:
        axes.set_yscale("log")
    axes.set_title(measure.replace("/", " ").replace("_", " "), weight="bold")
    axes.set_xlabel("epoch", labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    axes.grid(True, axis="y")
