"""Minimal filtering, against loops and in its error."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional.lowering import winograd, xla
from tests.examples import examples
from tests.functional.lowering.dense import check, check_inside_shard_map, dense_geometries, random_operands

GEOMETRIES = dense_geometries(
    ndims=(2,), windows=(3,), strides=(1,), input_dilations=(1,), kernel_dilations=(1,), largest=22
)


@examples(25)
@given(geometry=GEOMETRIES, block_bytes=st.sampled_from([1, 3000, 2**23]))
def test_both_operations_agree_with_loops(geometry: ConvGeometry, block_bytes: int) -> None:
    with mock.patch.object(winograd, "BLOCK_BYTES", block_bytes):
        check(winograd.LOWERING, geometry, "forward", 3e-5)
        check(winograd.LOWERING, geometry, "kernel_grad", 3e-5)


@pytest.mark.parametrize("block_bytes", [1, 2**23])
def test_the_loop_passes_the_checks_of_shard_map(block_bytes: int) -> None:
    geometry = conv_geometry((2, 6, 5, 2), (3, 3, 2, 3))
    with mock.patch.object(winograd, "BLOCK_BYTES", block_bytes):
        check_inside_shard_map(winograd.LOWERING, geometry, "forward")
        check_inside_shard_map(winograd.LOWERING, geometry, "kernel_grad")


@pytest.mark.parametrize(("size", "channels"), [(16, 64), (8, 512)])
def test_the_error_stays_small(size: int, channels: int) -> None:
    """Below 1e-4 of the output's scale, which is what the rule that picks promises."""
    geometry = conv_geometry((4, size, size, channels), (3, 3, channels, channels))
    x, kernel, g = random_operands(geometry)
    y = winograd.forward(x, kernel, geometry, precision=None, preferred_element_type=None)
    exact = xla.forward(jnp.asarray(x), jnp.asarray(kernel), geometry, precision=None, preferred_element_type=None)
    assert np.abs(y - exact).max() < 3e-5 * np.abs(exact).max()
    dk = winograd.kernel_grad(x, g, geometry, precision=None)
    assert xla.LOWERING.kernel_grad is not None
    exact = xla.LOWERING.kernel_grad(jnp.asarray(x), jnp.asarray(g), geometry, precision=None)
    assert np.abs(dk - exact).max() < 3e-5 * np.abs(exact).max()


def test_the_transforms_are_an_identity_over_the_rationals() -> None:
    """One axis in float64: four outputs of three taps from six entries."""
    generator = np.random.default_rng(0)
    entries, taps = generator.standard_normal(6), generator.standard_normal(3)
    found = winograd.OUTPUT @ ((winograd.KERNEL @ taps) * (winograd.INPUT @ entries))
    np.testing.assert_allclose(found, np.correlate(entries, taps, "valid"), rtol=1e-13)


def test_what_is_refused_says_why() -> None:
    def why_not(window: int = 3, dtype: jax.typing.DTypeLike = jnp.float32, **options: int) -> str:
        geometry = conv_geometry((1, 9, 9, 2), (window, window, 2, 2), **options)
        return str(winograd.LOWERING.why_not(geometry, dtype, "forward"))

    assert why_not(window=5) == "it wants a window of (3, 3), not (5, 5)"
    assert why_not(strides=2) == why_not(kernel_dilation=2) == "it wants strides and dilations of 1"
    assert why_not(dtype=jnp.bfloat16) == "it is accurate enough in float32 alone, and this is bfloat16"
