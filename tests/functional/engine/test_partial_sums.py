"""Depthwise and grouped kernel gradients by partial sums, against loops."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _partial_sums
from jaxcnn.functional._engine._algorithms._partial_sums import ALGORITHM, kernel_grad
from tests.examples import examples
from tests.functional.engine.dense import plan_of
from tests.functional.engine.groups import depthwise_geometries, grouped_geometries, loop_grouped_kernel_grad


def _operands(geometry: ConvGeometry, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x, g = (generator.standard_normal(shape) for shape in (geometry.x_shape, geometry.out_shape))
    return x.astype(dtype), g.astype(dtype)


def _check(geometry: ConvGeometry, dtype: Any, tolerance: float) -> None:
    x, g = _operands(geometry, dtype)
    expected = loop_grouped_kernel_grad(x, g, geometry)
    found = jax.jit(lambda x, g: kernel_grad(x, g, plan_of(geometry)))(x, g)
    assert found.dtype == x.dtype
    assert found.shape == geometry.kernel_shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1.0))


@examples(40)
@given(geometry=st.one_of(depthwise_geometries(), grouped_geometries()))
def test_agrees_with_loops(geometry: ConvGeometry) -> None:
    assert ALGORITHM.why_not(plan_of(geometry), "kernel_grad") is None
    assert ALGORITHM.estimate(plan_of(geometry), "kernel_grad") > 0
    _check(geometry, np.float32, 1e-5)


@pytest.mark.parametrize(
    ("x_shape", "window", "options"),
    [
        pytest.param((6, 9, 17, 8), (3, 3), {}, marks=pytest.mark.gate),
        ((3, 14, 14, 3), (5, 5), {"strides": 2}),
        ((2, 20, 40, 2), (2, 13), {"kernel_dilation": (1, 2)}),  # two groups of taps in a row
        pytest.param((2, 50, 4), (9,), {"padding": "VALID"}, marks=pytest.mark.gate),
        ((1, 14, 15, 2), (11, 13), {"strides": (1, 2), "padding": 5}),  # a loop over groups of taps
        pytest.param((2, 300, 2), (131,), {"kernel_dilation": 2, "padding": 40}, marks=pytest.mark.gate),
    ],
)
def test_agrees_with_loops_in_float64(x_shape: tuple[int, ...], window: tuple[int, ...], options: Any) -> None:
    channels = x_shape[-1]
    geometry = conv_geometry(x_shape, (*window, 1, channels), feature_group_count=channels, **options)
    with jax.enable_x64(True):
        _check(geometry, np.float64, 1e-12)


def test_groups_of_several_channels_and_blocks_of_several_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_partial_sums, "BLOCK_BYTES", 1 << 14)  # two of the six images fit
    geometry = conv_geometry((6, 12, 10, 15), (3, 3, 3, 10), feature_group_count=5)
    with jax.enable_x64(True):
        _check(geometry, np.float64, 1e-12)


def test_an_image_may_be_larger_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_partial_sums, "BLOCK_BYTES", 1 << 12)
    geometry = conv_geometry((2, 20, 30, 5), (3, 3, 1, 5), feature_group_count=5)
    with jax.enable_x64(True):
        _check(geometry, np.float64, 1e-12)


def test_sums_half_precision_in_float32() -> None:
    geometry = conv_geometry((4, 40, 40, 3), (3, 3, 1, 3), feature_group_count=3)
    x, g = (np.abs(a) for a in _operands(geometry, np.float32))
    x, g = (jnp.asarray(a, jnp.bfloat16) for a in (x, g))
    expected = loop_grouped_kernel_grad(np.asarray(x, np.float32), np.asarray(g, np.float32), geometry)
    found = jax.jit(lambda x, g: kernel_grad(x, g, plan_of(geometry)))(x, g)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=5e-3)


def test_runs_inside_shard_map() -> None:
    geometry = conv_geometry((4, 6, 6, 3), (3, 3, 1, 6), feature_group_count=3)
    x, g = _operands(geometry.with_batch(8), np.float32)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    split = PartitionSpec("data")

    def summed(x: jax.Array, g: jax.Array) -> jax.Array:
        return jax.lax.psum(kernel_grad(x, g, plan_of(geometry)), "data")

    found = jax.jit(jax.shard_map(summed, mesh=mesh, in_specs=(split, split), out_specs=PartitionSpec()))(x, g)
    np.testing.assert_allclose(found, loop_grouped_kernel_grad(x, g, geometry.with_batch(8)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "groups", "dtype", "reason"),
    [
        ((1, 8, 8, 4), (3, 3, 4, 4), 1, "float32", "several groups, and there is one"),
        ((1, 8, 8, 4), (3, 3, 1, 4), 4, "int32", "floating or complex numbers, not int32"),
        ((0, 8, 8, 4), (3, 3, 1, 4), 4, "float32", "arrays that are not empty"),
    ],
)
def test_says_what_it_does_not_support(
    x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], groups: int, dtype: str, reason: str
) -> None:
    geometry = conv_geometry(x_shape, kernel_shape, feature_group_count=groups)
    assert reason in str(ALGORITHM.why_not(plan_of(geometry, dtype), "kernel_grad"))
    assert ALGORITHM.why_not(plan_of(geometry, dtype), "forward") == "it computes no forward pass"
