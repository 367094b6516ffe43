"""How fast each layer is beside stock JAX and PyTorch, as bars."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxcnn.vis.canvas import FAINT, TEST, TRAIN, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PEERS = (("stock", TRAIN, "stock JAX / ours"), ("torch", TEST, "PyTorch / ours"))


def draw_bench(results: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes the picture of ``bench_figure`` in one step, as PNG, PDF or SVG by the path's ending.

    Raises:
        ValueError: no results, or an unknown ending.
    """
    save_figure(bench_figure(results), path, who="draw_bench")


def bench_figure(results: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draws for each result how many times longer the peers take: bars to the right of 1 are where we are faster.

    Args:
        results: the entries of ``results`` in the JSON of ``jaxcnn bench``; ``name``, ``operation`` and
            ``milliseconds`` are read.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError("draw_bench: there is no result to draw.")
    with style():
        figure = new_figure(7.0, 1.2 + 0.17 * len(results))
        axes = figure.add_axes((0.30, 0.55 / (1.2 + 0.17 * len(results)), 0.66, 1 - 1.1 / (1.2 + 0.17 * len(results))))
        for offset, (peer, colour, label) in zip((-0.2, 0.2), _PEERS, strict=True):
            gains = [(place, _gain(result, peer)) for place, result in enumerate(results)]
            known = [(place + offset, math.log10(gain)) for place, gain in gains if gain is not None]
            if known:
                places, lengths = zip(*known, strict=True)
                axes.barh(places, lengths, height=0.38, color=colour, label=label)
        _finish_axes(axes, [f"{result['name']}  {result['operation']}" for result in results])
        figure.suptitle("Times of the peers over ours, medians", x=0.01, ha="left", size=9)
    return figure


def _gain(result: Mapping[str, Any], peer: str) -> float | None:
    times = result["milliseconds"]
    return times[peer]["median"] / times["ours"]["median"] if peer in times else None


def _finish_axes(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, size=6)
    axes.set_ylim(len(names) - 0.5, -0.5)
    low, high = axes.get_xlim()
    low, high = min(low, -0.35), max(high, 0.35)
    axes.set_xlim(low, high)
    ticks = [tick for tick in (-2, -1, math.log10(0.5), 0, math.log10(2), 1, 2, 3, 4) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{10**tick:g}x" for tick in ticks])
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
