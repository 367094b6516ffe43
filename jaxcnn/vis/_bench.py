"""The times of stock JAX and PyTorch relative to jaxcnn, as bars."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxcnn.vis._canvas import FAINT, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More results are drawn in several columns.
MOST_ROWS = 64
_TITLE = "Times relative to jaxcnn (medians; above 1x jaxcnn is faster)"
_PEERS = (("stock", TRAIN, "stock JAX / jaxcnn"), ("torch", TEST, "PyTorch / jaxcnn"))


def draw_bench(results: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``bench_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        results: as in ``bench_figure``.
        path: of the file.

    Raises:
        ValueError: no results, or an unknown suffix.

    >>> draw_bench([], "bench.png")
    Traceback (most recent call last):
    ValueError: draw_bench: there is no result to draw.
    """
    save_figure(bench_figure(results), path)


def bench_figure(results: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draws the times of stock JAX and PyTorch relative to those of jaxcnn, on a logarithmic axis.

    jaxcnn is faster where a bar is to the right of 1.

    Args:
        results: the entries of ``results`` in the JSON of ``jaxcnn bench``, with ``name``, ``operation`` and
            ``milliseconds``.

    Raises:
        ValueError: no results.

    >>> times = {"ours": {"median": 1.0}, "stock": {"median": 4.0}}
    >>> figure = bench_figure([{"name": "dw7_96", "operation": "forward", "milliseconds": times}])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['dw7_96  forward']
    """
    if not results:
        raise ValueError("there is no result to draw.")
    columns = -(-len(results) // MOST_ROWS)
    rows = -(-len(results) // columns)
    gains = {peer: [_gain(result, peer) for result in results] for peer, _, _ in _PEERS}
    known = [math.log10(gain) for values in gains.values() for gain in values if gain is not None]
    limits = min([-0.35, *known]) - 0.05, max([0.35, *known]) + 0.05
    height = 1.0 + 0.17 * rows
    with style():
        figure = new_figure(5.6 * columns, height)
        for column in range(columns):
            some = range(column * rows, min((column + 1) * rows, len(results)))
            width = 1 / columns
            axes = figure.add_axes(((column + 0.32) * width, 0.35 / height, 0.64 * width, 1 - 1.0 / height))
            for offset, (peer, colour, label) in zip((-0.2, 0.2), _PEERS, strict=True):
                bars = [(place + offset, gains[peer][entry]) for place, entry in enumerate(some)]
                drawn = [(place, math.log10(gain)) for place, gain in bars if gain is not None]
                if drawn:
                    places, lengths = zip(*drawn, strict=True)
                    axes.barh(places, lengths, height=0.38, color=colour, label=label)
            names = [f"{results[entry]['name']}  {results[entry]['operation']}" for entry in some]
            _finish_axes(axes, names, rows, limits)
        figure.text(0.02, 1 - 0.3 / height, _TITLE, size=10, weight="bold")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        beneath = {"bbox_to_anchor": (0.0, 1 - 0.3 / height), "loc": "upper left"}
        figure.legend(handles, labels, ncols=2, frameon=False, **(beneath if columns == 1 else {"loc": "upper right"}))
    return figure


def _gain(result: Mapping[str, Any], peer: str) -> float | None:
    times = result["milliseconds"]
    return times[peer]["median"] / times["ours"]["median"] if peer in times else None


def _finish_axes(axes: Any, names: Sequence[str], rows: int, limits: tuple[float, float]) -> None:
    axes.set_yticks(range(len(names)), names, size=6)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlim(limits)
    low, high = limits
    ticks = [tick for tick in (-2, -1, math.log10(0.5), 0, math.log10(2), 1, 2, 3, 4) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{10**tick:g}x" for tick in ticks])
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
