"""Windows of pools with integer sizes, against steps along the axis."""

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn._errors import ShapeError
from jaxcnn._geometry import _pool
from jaxcnn._geometry._padding import reach
from jaxcnn._geometry._pool import PoolAxis, norm_exponent, plan_pool, pool_positions
from jaxcnn.shapes import pool_output_shape
from tests.oracles import pool as oracle

AXES = st.tuples(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.integers(-2, 6), st.integers(-2, 6)
)


def planned(axis: tuple[int, ...], ceil_mode: bool) -> PoolAxis | None:
    size, window, stride, dilation, before, after = axis
    options = {"strides": stride, "padding": ((before, after),), "window_dilation": dilation, "ceil_mode": ceil_mode}
    try:
        return plan_pool((size,), (window,), **options)[0]
    except ShapeError:
        return None


@settings(max_examples=500, deadline=None)
@given(AXES, st.booleans())
def test_positions_are_those_of_a_walk(axis: tuple[int, ...], ceil_mode: bool) -> None:
    size, window, stride, dilation, before, after = axis
    plan = planned(axis, ceil_mode)
    walked = oracle.positions(size, window, stride, dilation, (before, after), ceil_mode)
    assert (plan.positions if plan else 0) == max(walked, 0)


@settings(max_examples=200, deadline=None)
@given(AXES, st.booleans())
def test_what_a_window_reads_is_what_a_walk_reads(axis: tuple[int, ...], ceil_mode: bool) -> None:
    plan = planned(axis, ceil_mode)
    if plan is None:
        return
    size, window, stride, dilation, before, after = axis
    walk = list(oracle.windows((size,), (window,), (stride,), (dilation,), ((before, after),), ceil_mode))
    low, high = plan.bounds(include_pad=True)
    for (position,), reads, padded in walk:
        taps = [tap for tap in range(window) if position in range(*plan.positions_inside(tap))]
        assert [(plan.entry(position, tap),) for tap in taps] == reads
        assert sum(low <= plan.entry(position, tap) < high for tap in range(window)) == padded
    assert plan.span == (plan.positions - 1) * stride + reach(window, dilation)


def test_the_rules_of_ceil_mode() -> None:
    assert pool_positions(5, 2, stride=2) == 2
    assert pool_positions(5, 2, stride=2, ceil_mode=True) == 3
    assert pool_positions(4, 2, stride=3, pads=(1, 1)) == 2
    assert pool_positions(4, 2, stride=3, pads=(1, 1), ceil_mode=True) == 2  # a third window would start in the padding
    assert pool_positions(4, 5, stride=2, ceil_mode=True) == 1  # one window that exceeds the input, as in PyTorch
    with pytest.raises(ShapeError, match="the window of 6 is larger than the input of 4"):
        pool_positions(4, 6, stride=2, ceil_mode=True)


def test_output_shapes() -> None:
    assert pool_output_shape((8, 112, 112, 64), (3, 3), strides=2, padding=1) == (8, 56, 56, 64)
    assert pool_output_shape((7, 5), (2,), strides=2, ceil_mode=True) == (4, 5)
    assert pool_output_shape((0, 2, 9, 9, 9, 1), (3, 3, 3), strides=(1, 2, 3), window_dilation=2) == (0, 2, 5, 3, 2, 1)
    for padding in ("SAME", "SAME_LOWER"):
        assert pool_output_shape((1, 7, 8, 1), (3, 2), strides=(2, 3), padding=padding) == (1, 4, 3, 1)


def test_mistakes_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"pool_output_shape: 2 spatial axes and one of channels require at least 3 axes"
    ):
        pool_output_shape((7, 7), (2, 2), strides=1)
    with pytest.raises(ShapeError, match=r"pool_output_shape: window_shape=2 can be read as \(2,\)"):
        pool_output_shape((7, 7, 1), 2, strides=1)
    with pytest.raises(ShapeError, match="strides=0 must be at least 1"):
        pool_output_shape((7, 7, 1), (2, 2), strides=0)
    with pytest.raises(ShapeError, match="window_dilation=0 must be at least 1"):
        pool_output_shape((7, 7, 1), (2, 2), strides=1, window_dilation=0)
    with pytest.raises(TypeError, match="ceil_mode must be True or False, not 1"):
        pool_output_shape((7, 7, 1), (2, 2), strides=1, ceil_mode=1)
    with pytest.raises(TypeError, match="p must be a positive number or inf, not None"):
        norm_exponent(None)


def test_symbolic_sizes_are_not_compared_where_no_window_starts_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison of symbolic sizes takes several times as long as the one for the pool before it.

    For GoogLeNet the comparisons took minutes.
    """
    monkeypatch.setattr(_pool, "smaller", lambda *_: pytest.fail("sizes are compared"))
    (size,) = jax.export.symbolic_shape("h", constraints=("h >= 31",))
    assert [str(pool_positions(size, window, stride=2, ceil_mode=True)) for window in (2, 3)] == [
        "- floordiv(- h, 2)",
        "- floordiv(- h + 1, 2)",
    ]
