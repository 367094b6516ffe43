"""Padding options against positions counted one by one, and every invalid option."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn._axes import int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry._padding import explicit_pads, output_size, pads_per_axis, reach, same_pads
from jaxcnn._hints import did_you_mean

SIZES = st.integers(1, 20)
SMALL = st.integers(1, 5)


def positions(size: int, window: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """The start positions of a window that stays inside the padded axis, found by trying all positions."""
    last = size + pads[1] - dilation * (window - 1)
    return len([start for start in range(-pads[0], last, stride) if start + dilation * (window - 1) < size + pads[1]])


@settings(deadline=None)
@given(SIZES, SMALL, SMALL, SMALL, st.integers(0, 6), st.integers(0, 6))
def test_output_size_counts_positions(
    size: int, window: int, stride: int, dilation: int, before: int, after: int
) -> None:
    expected = positions(size, window, stride, dilation, (before, after))
    if expected:
        pads = (before, after)
        assert output_size(size, window, stride=stride, dilation=dilation, pads=pads) == expected
    else:
        with pytest.raises(ShapeError, match=r"on spatial axis 0 the window of .* is larger than the input"):
            output_size(size, window, stride=stride, dilation=dilation, pads=(before, after))


@settings(deadline=None)
@given(SIZES, SMALL, SMALL, SMALL)
def test_same_halves(size: int, window: int, stride: int, dilation: int) -> None:
    """The fewest zeros that give ceil(size / stride) positions; the two options differ in the place of an odd zero."""
    upper = same_pads(size, window, stride=stride, dilation=dilation)
    lower = same_pads(size, window, stride=stride, dilation=dilation, lower=True)
    assert positions(size, window, stride, dilation, upper) == -(-size // stride)
    assert lower == upper[::-1] and upper[1] - upper[0] in (0, 1)
    if upper[1]:
        assert positions(size, window, stride, dilation, (upper[0], upper[1] - 1)) < -(-size // stride)


def pads(padding: object, sizes: tuple[int, ...] = (7, 8), window: tuple[int, ...] = (3, 4)) -> object:
    ones = (1,) * len(sizes)
    return pads_per_axis(padding, sizes, window, strides=ones, dilation=ones)  # type: ignore[arg-type]


def test_every_spelling() -> None:
    assert pads("VALID") == ((0, 0), (0, 0))
    assert pads("SAME") == ((1, 1), (1, 2))
    assert pads("SAME_LOWER") == ((1, 1), (2, 1))
    assert pads("FULL") == ((2, 2), (3, 3))
    assert pads("CAUSAL") == ((2, 0), (3, 0))
    assert pads(2) == ((2, 2), (2, 2))
    assert pads((0, 3)) == ((0, 0), (3, 3))
    assert pads([(1, 2), (-1, 0)]) == ((1, 2), (-1, 0))
    assert reach(3, 4) == 9


@pytest.mark.parametrize(
    ("padding", "kind", "message"),
    [
        ("smae", ValueError, r"padding='smae' is not known\. Did you mean 'SAME'\?"),
        ("same", ValueError, r"Did you mean 'SAME'\?"),
        ("nothing", ValueError, r"Known: 'VALID', 'SAME', 'SAME_LOWER', 'FULL', 'CAUSAL'"),
        ((1, 2, 3), ShapeError, r"padding=\(1, 2, 3\) has 3 entries for 2 spatial axes\. Write an integer"),
        (((1, 2, 3), 1), ShapeError, r"holds \(1, 2, 3\), which is not a pair \(before, after\)"),
        (1.5, TypeError, r"padding must be an integer, not 1\.5 \(float\)"),
        ((1, "2"), TypeError, r"padding must be an integer, not '2' \(str\)"),
        (True, TypeError, r"padding must be an integer, not True"),
    ],
)
def test_misspelt_padding(padding: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pads(padding)


def test_a_flat_pair_shows_its_other_reading() -> None:
    with pytest.raises(ShapeError, match=r"For 1 before and 2 after on every axis write \(\(1, 2\),\)"):
        explicit_pads((1, 2), 1)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (0, ShapeError, r"strides=0 must be at least 1 on every axis"),
        ((1, 2, 3), ShapeError, r"strides=\(1, 2, 3\) has 3 entries but there are 2 spatial axes"),
        (2.0, TypeError, r"strides must be an integer, not 2\.0 \(float\)"),
        ("2", TypeError, r"strides must be an integer or one integer per axis, not '2'"),
        ((True, 1), TypeError, r"strides must be an integer, not True"),
    ],
)
def test_misspelt_strides(value: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        int_per_axis(value, 2, name="strides")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (2, ShapeError, r"window_shape=2 can be read as \(2,\) for 1-D data or as \(2, 2\) for images"),
        ((), ShapeError, r"window_shape=\(\) has no spatial axis"),
        ("2", TypeError, r"window_shape must have one integer per spatial axis, such as \(2, 2\), not '2'"),
        ((2, 0), ShapeError, r"window_shape=\(2, 0\) must be at least 1"),
    ],
)
def test_misspelt_windows(value: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        window_per_axis(value)


def test_choices_and_suggestions() -> None:
    check_choice("zeros", ["zeros", "edge"], name="padding_mode")
    with pytest.raises(ValueError, match=r"padding_mode='zeroes' is not known\. Did you mean 'zeros'\?"):
        check_choice("zeroes", ["zeros", "edge"], name="padding_mode")
    assert did_you_mean(3, ["a", "b"]) == "Known: 'a', 'b'."
