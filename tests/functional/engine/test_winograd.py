"""Minimal filtering: against loops, and its numerical error."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn._winograd import INPUT, KERNEL, OUTPUT, Tiling, along_both_axes, input_tiles
from jaxcnn.functional._engine._algorithms import _winograd, _xla
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.engine.dense import check, check_inside_shard_map, dense_geometries, plan_of, random_operands

GEOMETRIES = dense_geometries(
    ndims=(2,), windows=(3,), strides=(1,), input_dilations=(1,), kernel_dilations=(1,), largest=22
)


@examples(25)
@given(geometry=GEOMETRIES, block_bytes=st.sampled_from([1, 3000, 2**23]))
def test_both_operations_agree_with_loops(geometry: ConvGeometry, block_bytes: int) -> None:
    with mock.patch.object(_winograd, "BLOCK_BYTES", block_bytes):
        check(_winograd.ALGORITHM, geometry, "forward", 3e-5)
        check(_winograd.ALGORITHM, geometry, "kernel_grad", 3e-5)


@pytest.mark.parametrize("block_bytes", [1, 2**23])
def test_the_loop_passes_the_checks_of_shard_map(block_bytes: int) -> None:
    geometry = conv_geometry((2, 6, 5, 2), (3, 3, 2, 3))
    with mock.patch.object(_winograd, "BLOCK_BYTES", block_bytes):
        check_inside_shard_map(_winograd.ALGORITHM, geometry, "forward")
        check_inside_shard_map(_winograd.ALGORITHM, geometry, "kernel_grad")


@pytest.mark.parametrize(("size", "channels"), [(16, 64), (8, 512)])
def test_the_error_stays_small(size: int, channels: int) -> None:
    """Below 1e-4 of the scale of the output, as documented."""
    geometry = conv_geometry((4, size, size, channels), (3, 3, channels, channels))
    x, kernel, g = random_operands(geometry)
    y = compiled(_winograd.forward)(x, kernel, plan_of(geometry))
    exact = compiled(_xla.forward)(x, kernel, plan_of(geometry))
    assert np.abs(y - exact).max() < 3e-5 * np.abs(exact).max()
    dk = compiled(_winograd.kernel_grad)(x, g, plan_of(geometry))
    assert _xla.ALGORITHM.kernel_grad is not None
    exact = compiled(_xla.ALGORITHM.kernel_grad)(x, g, plan_of(geometry))
    assert np.abs(dk - exact).max() < 3e-5 * np.abs(exact).max()


def test_the_direct_sums_are_convolutions_that_xla_does_not_compile_into_loops() -> None:
    """XLA:CPU has a fast routine only for these layouts, and does not change other layouts in the body of a loop."""
    geometry = conv_geometry((2, 8, 8, 16), (3, 3, 16, 16))
    x, kernel, g = random_operands(geometry)
    for operands, function in ((x, kernel), _winograd.forward), ((x, g), _winograd.kernel_grad):
        text = jax.jit(function, static_argnums=2).lower(*operands, plan_of(geometry)).compile().as_text()
        layouts = [line.partition("dim_labels=")[2].split(",")[0] for line in text.splitlines() if "dim_labels" in line]
        assert layouts == ["b01f_01io->b01f"], (function, layouts)


def test_tiles_are_cut_by_one_concatenation() -> None:
    """With a gather, convolutions take up to 1.6 times as long; two concatenations compile more slowly."""
    geometry = conv_geometry((2, 16, 16, 8), (3, 3, 8, 8))
    for function, second in ((_winograd.forward, geometry.kernel_shape), (_winograd.kernel_grad, geometry.out_shape)):
        operands = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (geometry.x_shape, second))
        text = jax.jit(function, static_argnums=2).lower(*operands, plan_of(geometry)).as_text()
        assert text.count("stablehlo.concatenate") == 1, function
        assert "stablehlo.gather" not in text, function


def test_tiles_are_windows_of_the_input_in_the_order_of_the_transform() -> None:
    tiling = Tiling(2, 3, 2)
    z = np.random.default_rng(0).standard_normal((2, 12, 16, 5), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(z, (6, 6), (1, 2))[:, ::4, ::4][:, :2, :3]
    expected = along_both_axes(INPUT) @ np.moveaxis(windows.reshape(12, 5, 36), 2, 0).reshape(36, -1)
    found = input_tiles(jnp.asarray(z), tiling, None)
    np.testing.assert_allclose(found, expected.reshape(36, 12, 5), atol=1e-4)


def test_the_transforms_are_an_identity_over_the_rationals() -> None:
    """Along one axis in float64: four outputs of three taps from six entries."""
    generator = np.random.default_rng(0)
    entries, taps = generator.standard_normal(6), generator.standard_normal(3)
    found = OUTPUT @ ((KERNEL @ taps) * (INPUT @ entries))
    np.testing.assert_allclose(found, np.correlate(entries, taps, "valid"), rtol=1e-13)


def test_what_is_refused_says_why() -> None:
    def why_not(window: int = 3, dtype: jax.typing.DTypeLike = jnp.float32, **options: int) -> str:
        geometry = conv_geometry((1, 9, 9, 2), (window, window, 2, 2), **options)
        return str(_winograd.ALGORITHM.why_not(plan_of(geometry, dtype), "forward"))

    assert why_not(window=5) == "it requires a window of (3, 3), not (5, 5)"
    assert why_not(strides=2) == why_not(kernel_dilation=2) == "it requires strides and dilations of 1"
    assert why_not(dtype=jnp.bfloat16) == "it computes in float32, and this is bfloat16"
