"""Places of the nodes of an acyclic graph: columns by the longest path, rows by the mean of the neighbours' rows."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

Place = tuple[float, float]  # column, row
_SWEEPS = 8


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a graph is drawn.

    Attributes:
        nodes: the place of each node.
        edges: for each edge the places between its ends, one for each column that it passes.
        columns: number of columns.
        rows: number of rows of the fullest column.
    """

    nodes: list[Place]
    edges: list[list[Place]]
    columns: int
    rows: int


def layout(count: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """The layout of ``count`` nodes, each of which comes after the nodes that it reads.

    A node is in the column after the last of the nodes that it reads. A node that reads none is in the column before
    the first node that reads it. An edge over several columns takes a place in each, so that no node is drawn over it.
    In each column the order is that of the mean rows of the neighbours, by sweeps to the right and to the left.

    >>> layout(3, [(0, 2), (1, 2)]).nodes
    [(0, 0.0), (0, 1.0), (1, 0.5)]
    """
    column = _columns(count, edges)
    ids = count
    neighbours: dict[int, list[int]] = {node: [] for node in range(count)}
    passed: list[list[int]] = []
    for source, target in edges:
        between = list(range(ids, ids + column[target] - column[source] - 1))
        ids += len(between)
        chain = [source, *between, target]
        for offset, node in enumerate(between, 1):
            neighbours[node] = []
            column.append(column[source] + offset)
        for one, other in pairwise(chain):
            neighbours[one].append(other)
            neighbours[other].append(one)
        passed.append(between)
    number = max(column, default=0) + 1
    rows = [[node for node in range(ids) if column[node] == place] for place in range(number)]
    row = {node: float(place) for members in rows for place, node in enumerate(members)}
    most = max(map(len, rows))
    for sweep in range(_SWEEPS):
        forwards = sweep % 2 == 0
        for place in range(number) if forwards else reversed(range(number)):
            side = place - 1 if forwards else place + 1
            mean = {}
            for node in rows[place]:
                near = [row[each] for each in neighbours[node] if column[each] == side]
                mean[node] = sum(near) / len(near) if near else row[node]
            rows[place].sort(key=lambda node: mean[node])
            _spread(rows[place], mean, row, most)
    return Layout(
        nodes=[(column[node], row[node]) for node in range(count)],
        edges=[[(column[node], row[node]) for node in between] for between in passed],
        columns=number,
        rows=most,
    )


def _columns(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    column = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        column[target] = max(column[target], column[source] + 1)
    reads = {target for _, target in edges}
    for node in range(count):
        readers = [column[target] for source, target in edges if source == node]
        if node not in reads and readers:
            column[node] = min(readers) - 1
    return column


def _spread(members: list[int], mean: dict[int, float], row: dict[int, float], most: int) -> None:
    """Rows near the means, at least 1 apart and within the picture."""
    for index, node in enumerate(members):
        low = row[members[index - 1]] + 1 if index else 0.0
        row[node] = max(low, mean[node])
    high = most - 1.0
    for node in reversed(members):
        row[node] = min(row[node], high)
        high = row[node] - 1
