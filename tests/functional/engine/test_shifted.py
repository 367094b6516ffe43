"""Depthwise convolutions by shifted copies, with the phases of a dilated input, against loops."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._conv import conv
from jaxcnn.functional._engine._algorithms._shifted import ALGORITHM, forward, has_phases
from tests.examples import examples
from tests.functional.engine.dense import plan_of, random_operands
from tests.functional.engine.groups import depthwise_geometries, loop_grouped_forward


def _check(geometry: ConvGeometry) -> None:
    x, kernel, _ = random_operands(geometry)
    found = jax.jit(lambda x, kernel: forward(x, kernel, plan_of(geometry)))(x, kernel)
    expected = loop_grouped_forward(x, kernel, geometry)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(initial=0), 1.0))


@examples(25)
@given(geometry=depthwise_geometries(input_dilations=(1, 2, 3)))
def test_agrees_with_loops(geometry: ConvGeometry) -> None:
    assert ALGORITHM.why_not(plan_of(geometry), "forward") is None
    _check(geometry)


@examples(25)
@given(geometry=depthwise_geometries())
def test_the_way_back_agrees_with_loops(geometry: ConvGeometry) -> None:
    _check(dataclasses.replace(geometry, out_channels=geometry.in_channels).transposed())


@pytest.mark.parametrize(("window", "strides"), [(1, 2), (2, 3), (3, 2), (4, 2), (5, 3)])
def test_phases_agree_with_loops(window: int, strides: int) -> None:
    geometry = conv_geometry(
        (2, 11, 12, 3), (window, window, 1, 3), strides=strides, feature_group_count=3
    ).transposed()
    assert has_phases(geometry)
    _check(geometry)


@pytest.mark.parametrize(
    ("x_shape", "window", "multiplier", "options"),
    [
        ((2, 12, 13, 2), (11, 13), 2, {"strides": (2, 1)}),  # two rows in each iteration, then one row
        pytest.param((1, 6, 7, 3, 2), (5, 6, 5), 1, {"kernel_dilation": (2, 1, 1)}, marks=pytest.mark.gate),
        pytest.param((2, 200, 1), (131,), 1, {"padding": "FULL"}, marks=pytest.mark.gate),
        # phases of 11 or 12 taps per axis
        pytest.param((1, 20, 20, 1), (23, 23), 1, {"input_dilation": 2}, marks=pytest.mark.gate),
    ],
)
def test_many_taps_are_a_loop(
    x_shape: tuple[int, ...], window: tuple[int, ...], multiplier: int, options: dict[str, Any]
) -> None:
    channels = x_shape[-1]
    geometry = conv_geometry(x_shape, (*window, 1, multiplier * channels), feature_group_count=channels, **options)
    _check(geometry)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_kernel_that_is_not_finite_spoils_its_own_channel_alone(value: float) -> None:
    geometry = conv_geometry((2, 9, 9, 3), (5, 5, 1, 6), feature_group_count=3)
    x, kernel, _ = random_operands(geometry)
    kernel[2, 1, 0, 4] = value
    found = forward(x, kernel, plan_of(geometry))
    assert not np.isfinite(found[..., 4]).any()
    kernel[2, 1, 0, 4] = 0
    others = [0, 1, 2, 3, 5]
    np.testing.assert_allclose(found[..., others], loop_grouped_forward(x, kernel, geometry)[..., others], atol=1e-4)


def test_a_norm_that_follows_does_not_write_the_taps_to_memory() -> None:
    x, kernel = jnp.ones((8, 28, 28, 64)), jnp.ones((7, 7, 1, 64))

    def normalized(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = conv(x, kernel, feature_group_count=64, algorithm="shifted")
        y -= y.mean(-1, keepdims=True)
        return y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + 1e-6)

    program = jax.jit(normalized).lower(x, kernel).compile()
    assert " conditional(" in program.as_text()  # the branch is unknown at compile time
    assert program.memory_analysis().temp_size_in_bytes < 5 * x.nbytes


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_a_long_sum_of_a_batch_in_eight_parts(kind: AxisType) -> None:
    geometry = conv_geometry((8, 9, 9, 3), (5, 5, 1, 3), feature_group_count=3)
    x, kernel, _ = random_operands(geometry)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        parts = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
        y = jax.jit(lambda x, k: conv(x, k, feature_group_count=3, algorithm="shifted"))(parts, kernel)
    assert y.sharding.spec[0] == "data"
    np.testing.assert_allclose(y, loop_grouped_forward(x, kernel, geometry), atol=1e-4)
