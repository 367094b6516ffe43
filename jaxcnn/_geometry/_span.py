"""The interval of an image on which each entry of an array depends, in exact arithmetic.

A ``Span`` is updated by the operations of a program on arrays: windows, reshapes, slices, transposes and sums.
"""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

Number = int | Fraction


@dataclasses.dataclass(frozen=True)
class Span:
    """The positions along one axis of an image on which the entries of an array depend.

    The entry at index ``i`` depends on ``size`` positions, starting at ``first + sum over a of jumps[a] * i[a]``. If
    the positions are not of this form, the span is an upper bound that contains them: after up-sampling it has the
    size of the largest receptive field.

    Attributes:
        size: number of positions, padding and gaps included.
        first: the first position of the first entry.
        jumps: the change of the first position with the index along each axis of the array.
    """

    size: Number
    first: Number
    jumps: tuple[Number, ...]

    def summed(self, axis: int, length: int) -> "Span":
        """The span after each entry depends on all ``length`` entries along an axis; the axis remains."""
        reach = self.jumps[axis] * (length - 1)
        return Span(self.size + _absolute(reach), self.first + min(reach, 0), _put(self.jumps, axis, 0))

    def everywhere(self, shape: Sequence[int]) -> "Span":
        """The union over all entries of an array of this shape."""
        span = self
        for axis, length in enumerate(shape):
            span = span.summed(axis, length) if span.jumps[axis] else span
        return span

    def windows(
        self, axis: int, window: int, *, stride: int = 1, dilation: int = 1, before: int = 0, input_dilation: int = 1
    ) -> "Span":
        """The span after windows along an axis that was dilated by ``input_dilation`` and then padded."""
        jump = self.jumps[axis]
        if not jump:
            return self
        taps = dilation * (window - 1) // input_dilation
        size = self.size + _absolute(jump) * taps
        jump = jump if input_dilation == 1 else whole(Fraction(jump) / input_dilation)
        first = self.first - jump * before + min(jump * dilation * (window - 1), 0)
        return Span(size, first, _put(self.jumps, axis, jump * stride))

    def taken(self, axis: int, *, start: int = 0, stride: int = 1) -> "Span":
        """The span after selecting every ``stride``-th entry of an axis from ``start`` on; both may be negative."""
        jump = self.jumps[axis]
        return Span(self.size, self.first + jump * start, _put(self.jumps, axis, jump * stride))

    def permuted(self, axes: Sequence[int | None]) -> "Span":
        """The span after a transposition of the axes; None inserts a new axis with jump 0."""
        return dataclasses.replace(self, jumps=tuple(0 if axis is None else self.jumps[axis] for axis in axes))

    def union(self, other: "Span", shape: Sequence[int]) -> "Span":
        """The span of the sum of two arrays of this shape; along an axis with different jumps it covers all entries."""
        first, second = self, other
        for axis, length in enumerate(shape):
            if first.jumps[axis] != second.jumps[axis] and length > 1:
                first, second = first.summed(axis, length), second.summed(axis, length)
        start = min(first.first, second.first)
        end = max(first.first + first.size, second.first + second.size)
        jumps = tuple(max(pair, key=_absolute) for pair in zip(first.jumps, second.jumps, strict=True))
        return Span(end - start, start, jumps)

    def merged(self, axes: Sequence[int], shape: Sequence[int]) -> "tuple[Span, Number]":
        """The span after neighbouring axes were merged, with jump 0 along them, and the jump of the merged axis.

        The result is exact if the jumps are those of one split axis. Otherwise it is an upper bound with a constant
        jump.
        """
        axes = [axis for axis in axes if shape[axis] > 1]
        if not axes:
            return self, 0
        span, jump = self, self.jumps[axes[0]]
        for axis in axes[1:]:
            length, inner = shape[axis], span.jumps[axis]
            jump = whole(Fraction(jump) / length)
            even = dataclasses.replace(span, jumps=_put(span.jumps, axis, inner - jump if jump else inner))
            span = even.summed(axis, length)
        return dataclasses.replace(span, jumps=_put(span.jumps, axes[0], 0)), jump

    def split(self, axis: int, shape: Sequence[int]) -> tuple[Number, ...]:
        """The jumps of the axes into which one axis is split."""
        jumps, jump = [], self.jumps[axis]
        for length in reversed(shape):
            jumps.append(jump if length > 1 else 0)
            jump = jump * length
        return tuple(reversed(jumps))

    @property
    def jump(self) -> Number:
        """The largest absolute jump over the axes of the array."""
        return max(map(_absolute, self.jumps), default=0)

    @property
    def bounds(self) -> tuple[int, int]:
        """First position and number of positions of the first entry, as integers that cover the span."""
        return floor(self.first), ceil(self.size)


def cover(spans: Sequence[Span], shapes: Sequence[Sequence[int]], rank: int) -> Span:
    """The union over all entries of several arrays, as a span with ``rank`` jumps of 0."""
    unions = [span.everywhere(shape) for span, shape in zip(spans, shapes, strict=True)]
    first = min(span.first for span in unions)
    end = max(span.first + span.size for span in unions)
    return Span(end - first, first, (0,) * rank)


def regroup(old: Sequence[int], new: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The smallest groups of axes of two shapes with the same number of entries, which a reshape maps to each other.

    >>> regroup((8, 6, 35), (4, 2, 6, 5, 7))
    [((0,), (0, 1)), ((1,), (2,)), ((2,), (3, 4))]
    """
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        left, right = 1, 1
        if i < len(old):
            left, i = old[i], i + 1
        if j < len(new):
            right, j = new[j], j + 1
        while left != right:
            if left < right:
                left, i = left * old[i], i + 1
            else:
                right, j = right * new[j], j + 1
        groups.append((tuple(range(start_i, i)), tuple(range(start_j, j))))
    return groups


def whole(number: Fraction) -> Number:
    """A fraction as an int if it is an integer."""
    return int(number) if number.denominator == 1 else number


def _absolute(number: Number) -> Number:
    return -number if number < 0 else number


def _put(jumps: tuple[Number, ...], axis: int, jump: Number) -> tuple[Number, ...]:
    return (*jumps[:axis], jump, *jumps[axis + 1 :])
