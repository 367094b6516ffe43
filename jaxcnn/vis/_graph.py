"""A function as a graph of its operations, with the value of each and the gradients along the edges."""

import os
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcnn.vis._canvas import FAINT, INK, PAPER, TEST, TRAIN, new_figure, save_figure, style
from jaxcnn.vis._graph_layout import layout
from jaxcnn.vis._value_graph import GraphEdge, GraphNode, ValueGraph, value_graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMN, _ROW = 2.1, 0.85  # inches from one layer to the next, and from one node to the next
_WIDE, _HIGH = 0.46, 0.17  # half the size of a node
_LONGEST = 15  # letters in a node; of longer names the end is drawn


def draw_graph(f: Callable[..., Any], *args: Any, path: str | os.PathLike[str], title: str = "") -> None:
    """Writes the picture of ``graph_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        f: as in ``graph_figure``.
        *args: as in ``graph_figure``.
        path: of the file.
        title: of the picture.

    Raises:
        ShapeError: a result that is not a single number.
        TypeError: no floating argument.
        ValueError: an unknown suffix.

    >>> draw_graph(lambda x: x * x, 3.0, path="graph.tiff")
    Traceback (most recent call last):
    ValueError: draw_graph: a picture is written as .pdf, .png or .svg, but the path is graph.tiff.
    """
    save_figure(graph_figure(f, *args, title=title), path)


def graph_figure(f: Callable[..., Any], *args: Any, title: str = "") -> "Figure":
    """Draws the operations of a function from left to right, with values and gradients, as ``value_graph`` finds them.

    Below each node are its value (blue) and its gradient (red); of arrays, the shape and the norm of the gradient.
    Each edge has the local derivative times the gradient from upstream and their product; for arrays, the norm of the
    product. Operations of a Flax module, or in a ``jax.named_scope``, are in a box with its name if no other operations
    are between them.

    Args:
        f: a function of arrays or pytrees of arrays whose result is a single number.
        *args: where to compute it; floating.
        title: of the picture.

    Raises:
        ShapeError: a result that is not a single number.
        TypeError: no floating argument.

    Source: Stanford's CS231n, "Backpropagation, intuitions".

    >>> figure = graph_figure(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
    >>> [text.get_text() for text in figure.axes[0].texts if "=" in text.get_text()]
    ['1 · -4 = -4', '1 · -4 = -4', '-4 · 1 = -4', '3 · 1 = 3']
    """
    graph = value_graph(f, *args)
    places = layout(len(graph.nodes), [(edge.source, edge.target) for edge in graph.edges])
    width, height = _COLUMN * places.columns + 0.3, _ROW * places.rows + 0.7
    with style():
        figure = new_figure(width, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(0, height))
        at = [(0.15 + _COLUMN * (x + 0.5), height - 0.55 - _ROW * (y + 0.4)) for x, y in places.nodes]
        _scopes(axes, graph, at)
        for edge, middle in zip(graph.edges, places.edges, strict=True):
            bends = [(0.15 + _COLUMN * (x + 0.5), height - 0.55 - _ROW * (y + 0.4)) for x, y in middle]
            _edge(axes, edge, [at[edge.source], *bends, at[edge.target]])
        for node, (x, y) in zip(graph.nodes, at, strict=True):
            _node(axes, node, x, y)
        figure.text(0.15 / width, 1 - 0.1 / height, title, size=9, weight="bold", color=INK, va="top")
    return figure


def _node(axes: "Axes", node: GraphNode, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch(
        (x - _WIDE, y - _HIGH), 2 * _WIDE, 2 * _HIGH, boxstyle="round,pad=0,rounding_size=0.08", zorder=3
    )
    box.set(facecolor="white", edgecolor="#555555", linewidth=0.8)
    axes.add_patch(box)
    axes.text(
        x,
        y,
        node.name if len(node.name) <= _LONGEST else "…" + node.name[1 - _LONGEST :],
        ha="center",
        va="center",
        size=7.5,
        zorder=4,
    )
    axes.text(x, y - _HIGH - 0.03, _value(node.value), ha="center", va="top", size=6.5, color=TRAIN, zorder=4)
    axes.text(x, y - _HIGH - 0.15, _gradient(node.gradient), ha="center", va="top", size=6.5, color=TEST, zorder=4)


def _value(value: np.ndarray) -> str:
    return f"{float(value):.3g}" if not value.shape else "\N{MULTIPLICATION SIGN}".join(map(str, value.shape))


def _gradient(gradient: np.ndarray) -> str:
    return f"{float(gradient):.3g}" if not gradient.shape else f"|g| {np.linalg.norm(gradient):.3g}"


def _edge(axes: "Axes", edge: GraphEdge, points: list[tuple[float, float]]) -> None:
    (x0, y0), (x1, y1) = points[0], points[-1]
    points = [(x0 + _WIDE, y0), *points[1:-1], (x1 - _WIDE, y1)]
    for one, other in pairwise(points[:-1]):
        axes.plot(*zip(one, other, strict=True), color="#999999", linewidth=0.8, zorder=1)
    axes.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": "#999999", "linewidth": 0.8}, zorder=1
    )
    (x0, y0), (x1, y1) = points[-2:]
    if edge.local is None:
        text = _gradient(edge.product)
    else:
        text = f"{edge.local:.3g} \N{MIDDLE DOT} {float(edge.upstream):.3g} = {float(edge.product):.3g}"
    axes.text(
        x0 + 0.45 * (x1 - x0),
        y0 + 0.45 * (y1 - y0) + 0.03,
        text,
        ha="center",
        va="bottom",
        size=5.5,
        color=TEST,
        zorder=2,
    )


def _scopes(axes: "Axes", graph: ValueGraph, at: list[tuple[float, float]]) -> None:
    """A box with its name around the operations of each innermost module."""
    from matplotlib.patches import Rectangle

    members: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for node, place in zip(graph.nodes, at, strict=True):
        if node.scope:
            members.setdefault(node.scope, []).append(place)
    for scope, places in members.items():
        left, right = min(x for x, _ in places) - _WIDE - 0.1, max(x for x, _ in places) + _WIDE + 0.1
        low, high = min(y for _, y in places) - _HIGH - 0.28, max(y for _, y in places) + _HIGH + 0.14
        inside = [place for place in at if left < place[0] < right and low < place[1] < high]
        if len(inside) > len(places):
            continue  # a box around them would hold operations of other modules
        axes.add_patch(Rectangle((left, low), right - left, high - low, facecolor=PAPER, edgecolor="none", zorder=0))
        axes.text(left + 0.04, high - 0.02, scope[-1], size=6, color=FAINT, va="top", zorder=2)
