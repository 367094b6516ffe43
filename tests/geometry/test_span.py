"""Spans against their definition, position by position."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn._geometry._span import Span, cover, regroup

SPAN = Span(3, -1, (4, 1))


def seen(span: Span, *position: int) -> set[int]:
    start = span.first + sum(jump * i for jump, i in zip(span.jumps, position, strict=True))
    return set(range(int(start), int(start + span.size)))


def test_every_entry_along_an_axis() -> None:
    whole = SPAN.summed(0, 5)
    together = set().union(*(seen(SPAN, i, 2) for i in range(5)))
    assert seen(whole, 0, 2) == set(range(min(together), max(together) + 1))
    assert SPAN.everywhere((5, 3)) == Span(3 + 16 + 2, -1, (0, 0))
    turned = SPAN.taken(0, start=4, stride=-1)
    assert seen(turned, 1, 0) == seen(SPAN, 3, 0)
    assert turned.summed(0, 5) == whole


def test_union_of_what_moves_apart_rests() -> None:
    still = Span(2, 100, (0, 1))
    assert SPAN.union(still, (5, 3)) == Span(103, -1, (0, 1))
    assert SPAN.union(Span(5, 0, (4, 1)), (5, 3)) == Span(6, -1, (4, 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(-2, 3), st.integers(1, 3))
def test_windows_see_what_their_taps_see(window: int, stride: int, dilation: int, before: int, spread: int) -> None:
    """The span is as long as the longest range of a dilated, padded axis that some window reads."""
    span = Span(1, 0, (1,)).windows(0, window, stride=stride, dilation=dilation, before=before, input_dilation=spread)
    widths = []
    for out in range(12):
        taps = [out * stride - before + k * dilation for k in range(window)]
        covered = [position // spread for position in range(taps[0], taps[-1] + 1) if position % spread == 0]
        widths.append(len(covered))
        if spread == 1:
            assert seen(span, out) == set(covered)
    assert span.jump == Fraction(stride, spread)
    assert span.size >= max(widths)
    if stride == 1:
        assert span.size == max(widths)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_groups_of_a_reshape_hold_equally_many(shape: list[int], data: st.DataObject) -> None:
    merged: list[int] = []
    for size in shape:
        if merged and data.draw(st.booleans()):
            merged[-1] *= size
        else:
            merged.append(size)
    for old, new in ((shape, merged), (merged, shape)):
        groups = regroup(old, new)
        assert [axis for before, _ in groups for axis in before] == list(range(len(old)))
        assert [axis for _, after in groups for axis in after] == list(range(len(new)))
        for before, after in groups:
            left = right = 1
            for axis in before:
                left *= old[axis]
            for axis in after:
                right *= new[axis]
            assert left == right


def test_split_and_merged_again_is_the_same() -> None:
    span = Span(3, -1, (4,))
    jumps = span.split(0, (5, 2))
    assert jumps == (8, 4)
    assert Span(3, -1, jumps).merged((0, 1), (5, 2)) == (Span(3, -1, (0, 0)), 4)


def test_merging_what_does_not_follow_covers_it() -> None:
    uneven = Span(6, 0, (11, 5))
    merged, jump = uneven.merged((0, 1), (3, 2))
    even = Span(merged.size, merged.first, (jump,))
    assert jump == Fraction(11, 2)
    for i in range(3):
        for j in range(2):
            start = even.first + jump * (2 * i + j)
            places = seen(uneven, i, j)
            assert start <= min(places) and max(places) < start + even.size


def test_bounds_cover() -> None:
    assert Span(Fraction(5, 2), Fraction(-1, 2), ()).bounds == (-1, 3)
    assert cover([Span(2, 0, (3,)), Span(1, -4, ())], [(3,), ()], 2) == Span(12, -4, (0, 0))
