"""Adaptive bins against fractions, and which axes are spatial."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn._errors import ShapeError
from jaxcnn._geometry._adaptive_pool import adaptive_bins, adaptive_output, pyramid_levels, spatial_sizes


@given(st.integers(1, 300), st.integers(1, 300))
def test_bins_are_rounded_outwards_and_cover_the_axis(size: int, bins: int) -> None:
    cuts = adaptive_bins(size, bins)
    width = Fraction(size, bins)
    assert list(cuts) == [(math.floor(i * width), math.ceil((i + 1) * width)) for i in range(bins)]
    assert cuts[0][0] == 0 and cuts[-1][1] == size
    assert all(start <= before_stop for (_, before_stop), (start, _) in itertools.pairwise(cuts))


def test_bins_of_equal_width_do_not_overlap() -> None:
    assert adaptive_bins(6, 3) == ((0, 2), (2, 4), (4, 6))
    assert adaptive_bins(2, 4) == ((0, 1), (0, 1), (1, 2), (1, 2))


def test_bins_that_cannot_be() -> None:
    for size, bins in ((0, 3), (3, 0)):
        with pytest.raises(ShapeError, match=f"adaptive_bins: size={size} and bins={bins} must be at least 1"):
            adaptive_bins(size, bins)
    with pytest.raises(TypeError, match="adaptive_bins: bins must be an integer"):
        adaptive_bins(3, 1.5)


def test_none_keeps_an_axis() -> None:
    assert adaptive_output((None, 3), (8, 5, 6, 2)) == (5, 3)
    assert adaptive_output([2], (5, 2)) == (2,)


def test_spatial_axes() -> None:
    assert spatial_sizes((8, 5, 6, 2), None) == (5, 6)
    assert spatial_sizes((8, 5, 6, 2), 1) == (6,)
    assert spatial_sizes((5, 2), 1) == (5,)
    with pytest.raises(ShapeError, match=r"x.shape=\(5,\) is too short for a batch axis"):
        spatial_sizes((5,), None)


def test_levels() -> None:
    assert pyramid_levels((1, 2, (3, 4)), 2) == ((1, 1), (2, 2), (3, 4))
    with pytest.raises(TypeError, match="levels must have one entry per level"):
        pyramid_levels("12", 2)
