"""Masks of objects in the three forms of COCO's files: polygons, run lengths, and run lengths as text.

The pixels are exactly those of ``pycocotools.mask``.
"""

import dataclasses
import functools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.data._arrays import IGNORED

Size = tuple[int, int]

SCALE = 5  # points of a boundary in the length of a pixel


@dataclasses.dataclass(frozen=True)
class Shape:
    """The pixels of an object in a compact form.

    Attributes:
        polygons: ``(n, 2)`` each, points as ``(x, y)``; the object is their union.
        runs: lengths of runs in the order of columns, the first of them outside of the object; None for polygons.
    """

    polygons: tuple[np.ndarray, ...] = ()
    runs: np.ndarray | None = None

    def mask(self, size: Size) -> np.ndarray:
        """Booleans ``(height, width)``."""
        if self.runs is not None:
            return _from_columns(np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs), size)
        found = np.zeros(size, bool)
        for polygon in self.polygons:
            found |= _filled(polygon, size)
        return found

    def checksum(self) -> int:
        """A checksum of the shape, to detect changes."""
        arrays = self.polygons if self.runs is None else (self.runs,)
        return functools.reduce(lambda total, array: zlib.crc32(array.tobytes(), total), arrays, 0)


def shape_of(segmentation: Any, size: Size, *, repair: bool = False) -> Shape:
    """The shape of the ``segmentation`` of an annotation.

    Args:
        segmentation: a list of polygons ``[x0, y0, x1, y1, ...]``; or ``{"size": [height, width], "counts": ...}`` with
            run lengths as a list, or as the text of ``pycocotools``.
        size: height and width of the image.
        repair: whether polygons with fewer than three points are left out instead of being refused.

    Raises:
        ValueError: another form, a polygon with fewer than three points, or run lengths that do not fill the image.

    >>> shape_of([[1, 0, 3, 0, 3, 2, 1, 2]], (2, 4)).mask((2, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0]])
    >>> shape_of({"size": [2, 4], "counts": [2, 4, 2]}, (2, 4)).mask((2, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0]])
    """
    if isinstance(segmentation, dict):
        if segmentation.get("size") != [*size]:
            raise ValueError(f"run lengths of the size {segmentation.get('size')}, but the image has {[*size]}")
        counts = segmentation.get("counts")
        lengths = _runs_of(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
        if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
            raise ValueError(f"run lengths that do not add up to the {size[0] * size[1]} pixels of the image")
        return Shape(runs=lengths)
    if not isinstance(segmentation, list) or not (segmentation or repair):
        raise ValueError(f"{str(segmentation)[:40]} instead of polygons or run lengths")
    polygons = []
    for each in segmentation:
        points = np.asarray(each, np.float64)
        if points.ndim == 1 and len(points) >= 6 and len(points) % 2 == 0 and np.isfinite(points).all():
            polygons.append(points.reshape(-1, 2))
        elif not repair:
            raise ValueError(f"the polygon {str(each)[:40]}, which is not at least three pairs of finite numbers")
    return Shape(tuple(polygons))


def label_map_of(shapes: Sequence[Shape], labels: np.ndarray, size: Size) -> np.ndarray:
    """The class of each pixel, uint8 ``(height, width)``: 0 without an object, 255 in objects of different classes.

    Args:
        shapes: of the objects.
        labels: their classes.
        size: height and width of the image.
    """
    found = np.zeros(size, np.uint8)
    for shape, label in zip(shapes, labels, strict=True):
        mask = shape.mask(size)
        found[mask] = np.where((found[mask] == 0) | (found[mask] == label), label, IGNORED)
    return found


def _from_columns(values: np.ndarray, size: Size) -> np.ndarray:
    return values.reshape(size[::-1]).T


def _runs_of(text: str) -> np.ndarray:
    """Run lengths from text: groups of five bits, each with a bit that is set if another group follows.

    The first three runs are given by their lengths, later ones by the difference from the run two before.
    """
    found: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {character!r} in run lengths as text")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    return np.array(found, np.int64)


def _filled(points: np.ndarray, size: Size) -> np.ndarray:
    """The pixels of one polygon.

    The boundary is drawn on a grid five times as fine. In each column of pixels, the rows below which it crosses the
    middle of the column toggle between outside and inside.
    """
    height, width = size
    corners = np.trunc(SCALE * points + 0.5).astype(np.int64)
    line = np.concatenate([_line(a, b) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    before, after = line[:-1], line[1:]
    moves = before[:, 0] != after[:, 0]
    low = np.minimum(before, after)[moves]
    columns = (low[:, 0] + 0.5) / SCALE - 0.5
    rows = np.ceil(np.clip((low[:, 1] + 0.5) / SCALE - 0.5, 0, height))
    counts = (columns == np.floor(columns)) & (columns >= 0) & (columns <= width - 1)
    toggles = (columns[counts] * height + rows[counts]).astype(np.int64)
    crossings = np.bincount(toggles, minlength=height * width + 1)[: height * width]
    return _from_columns(crossings.cumsum() % 2 == 1, size)


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The points of a line on the grid, ``(n, 2)``, one for each step along its longer side.

    A line and the same line in the other direction have the same points.
    """
    sides = np.abs(end - start)
    along = 0 if sides[0] >= sides[1] else 1
    first, last = (end, start) if start[along] > end[along] else (start, end)
    steps = np.arange(sides[along] + 1)
    slope = (last[1 - along] - first[1 - along]) / max(int(sides[along]), 1)
    points = np.empty((len(steps), 2), np.int64)
    points[:, along] = first[along] + steps
    points[:, 1 - along] = np.trunc(first[1 - along] + slope * steps + 0.5)
    return points if first is start else points[::-1]
