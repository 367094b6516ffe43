"""Sizes of convolutions and of their adjoints against XLA's shape inference."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcnn._errors import ShapeError
from jaxcnn._geometry._boundary import boundary_position, boundary_runs
from jaxcnn._geometry._conv import conv_geometry, conv_kernel_shape, conv_output_shape, groups_per_block
from jaxcnn._geometry._conv_transpose import (
    conv_transpose_geometry,
    conv_transpose_output_padding,
    conv_transpose_output_shape,
)
from jaxcnn.functional import conv, conv_transpose

NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def spec(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, np.float32)


@st.composite
def axes(draw: st.DrawFn) -> dict[str, Any]:
    window, gap, spread = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = draw(st.integers(1, 20))
    before = draw(st.integers(-1, 6))
    missing = gap * (window - 1) + 1 - (spread * (size - 1) + 1) - before
    return {
        "size": size,
        "window": window,
        "strides": draw(st.integers(1, 5)),
        "padding": ((before, max(draw(st.integers(-1, 6)), missing)),),
        "kernel_dilation": gap,
        "input_dilation": spread,
    }


@settings(max_examples=100, deadline=None)
@given(axes())
def test_sizes_are_those_of_xla(case: dict[str, Any]) -> None:
    options = {name: value for name, value in case.items() if name not in ("size", "window")}
    x, kernel = (2, case["size"], 3), (case["window"], 3, 4)
    expected = jax.eval_shape(
        lambda x, kernel: lax.conv_general_dilated(
            x,
            kernel,
            (case["strides"],),
            case["padding"],
            lhs_dilation=(case["input_dilation"],),
            rhs_dilation=(case["kernel_dilation"],),
            dimension_numbers=("NHC", "HIO", "NHC"),
        ),
        spec(*x),
        spec(*kernel),
    )
    assert conv_output_shape(x, kernel, **options) == expected.shape


@settings(max_examples=100, deadline=None)
@given(axes())
def test_the_way_back_has_the_sizes_of_the_input(case: dict[str, Any]) -> None:
    """The sizes are exact, remainders included, and the adjoint of the adjoint is the convolution."""
    options = {name: value for name, value in case.items() if name not in ("size", "window")}
    geometry = conv_geometry((2, case["size"], 3), (case["window"], 3, 4), **options)
    back = geometry.transposed()
    again = conv_geometry(
        back.x_shape,
        back.kernel_shape,
        strides=back.strides,
        padding=back.pads,
        input_dilation=back.input_dilation,
        kernel_dilation=back.kernel_dilation,
    )
    assert again.out_shape == geometry.x_shape
    assert back.transposed().out_sizes == geometry.out_sizes
    assert back.transposed().pads[0][0] == geometry.pads[0][0]


@settings(max_examples=100, deadline=None)
@given(axes())
def test_output_padding_restores_the_size(case: dict[str, Any]) -> None:
    options = {name: case[name] for name in ("strides", "padding", "kernel_dilation")}
    reach = case["kernel_dilation"] * (case["window"] - 1) + 1
    x = (max(case["size"], reach + 2), 3)
    extra = conv_transpose_output_padding(x, (case["window"], 3, 4), **options)
    y = conv_output_shape(x, (case["window"], 3, 4), **options)
    assert conv_transpose_output_shape(y, (case["window"], 3, 4), output_padding=extra, **options) == x


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", "FULL", "CAUSAL", 1])
def test_a_transposed_geometry_is_that_of_the_forward_convolution(padding: Any) -> None:
    geometry = conv_transpose_geometry((2, 9, 6), (4, 3, 6), strides=3, padding=padding, feature_group_count=3)
    assert geometry.kernel_shape == (4, 3, 6)
    forward = conv_geometry(geometry.x_shape, (4, 3, 6), strides=3, padding=padding, feature_group_count=3)
    assert forward.out_shape == (2, 9, 6)
    assert forward.pads == geometry.pads


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_shape_functions_agree_with_the_functions(strides: int) -> None:
    x, kernel = (2, 3, 9, 8, 4), (3, 2, 4, 6)
    y = conv_output_shape(x, kernel, strides=strides)
    assert jax.eval_shape(lambda x, k: conv(x, k, strides=strides), spec(*x), spec(*kernel)).shape == y
    back = conv_transpose_output_shape(y, kernel, strides=strides)
    assert jax.eval_shape(lambda y, k: conv_transpose(y, k, strides=strides), spec(*y), spec(*kernel)).shape == back


def test_multiply_adds_of_known_layers() -> None:
    assert conv_geometry((32, 32, 3), (5, 5, 3, 6), padding="VALID").multiply_adds == 28 * 28 * 6 * 75
    assert conv_geometry((8, 8, 4), (3, 3, 1, 4), feature_group_count=4).multiply_adds == 64 * 4 * 9


def test_kernel_shapes() -> None:
    assert conv_kernel_shape(6, 4, (3, 5), feature_group_count=2) == (3, 5, 3, 4)
    with pytest.raises(ShapeError, match="feature_group_count=4 does not divide the 6 input channels"):
        conv_kernel_shape(6, 4, (3,), feature_group_count=4)
    with pytest.raises(ShapeError, match="feature_group_count=0 must be at least 1"):
        conv_kernel_shape(6, 4, (3,), feature_group_count=0)


@pytest.mark.parametrize(
    ("channels", "groups", "merged"), [(128, 32, 4), (64, 32, 8), (12, 3, 1), (12, 6, 2), (96, 2, 1)]
)
def test_blocks_of_groups(channels: int, groups: int, merged: int) -> None:
    geometry = conv_geometry((8, channels), (3, channels // groups, channels), feature_group_count=groups)
    assert groups_per_block(geometry) == merged
    block = geometry.group_block(merged)
    assert (block.groups, block.in_channels) == (1, channels // groups * merged)


@pytest.mark.parametrize("mode", ["reflect", "edge", "circular"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_boundary_positions_are_those_of_numpy(mode: str, size: int) -> None:
    expected = np.pad(np.arange(size), (7, 8), mode=NUMPY_MODES[mode])
    assert [boundary_position(i, size, mode) for i in range(-7, size + 8)] == expected.tolist()


@given(
    size=st.integers(1, 6),
    before=st.integers(-2, 9),
    after=st.integers(-2, 9),
    mode=st.sampled_from(["reflect", "edge", "circular"]),
)
@settings(max_examples=100, deadline=None)
def test_runs_spell_out_the_positions(size: int, before: int, after: int, mode: str) -> None:
    found = []
    for start, step, count in boundary_runs(size, (before, after), padding_mode=mode):
        assert step in (-1, 0, 1)
        found += [start + step * i for i in range(count)]
    assert found == [boundary_position(i, size, mode) for i in range(-before, size + after)]


def test_boundaries_refuse_zeros_and_empty_axes() -> None:
    with pytest.raises(ValueError, match="padding_mode='zeros' is not known"):
        boundary_runs(3, (1, 1), padding_mode="zeros")
    with pytest.raises(ShapeError, match="cannot pad an empty axis"):
        boundary_runs(0, (1, 1), padding_mode="edge")
