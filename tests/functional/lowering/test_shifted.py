"""Depthwise convolutions by shifted copies, held to loops, phases of a dilated input included."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxcnn.functional.lowering.shifted import LOWERING, forward, has_phases
from jaxcnn.shapes.conv import ConvGeometry, conv_geometry
from tests.functional.lowering.dense import random_operands
from tests.functional.lowering.groups import depthwise_geometries, loop_grouped_forward


def _check(geometry: ConvGeometry) -> None:
    x, kernel, _ = random_operands(geometry)
    options = {"precision": None, "preferred_element_type": None}
    found = jax.jit(lambda x, kernel: forward(x, kernel, geometry, **options))(x, kernel)
    expected = loop_grouped_forward(x, kernel, geometry)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(initial=0), 1.0))


@settings(max_examples=25, deadline=None)
@given(geometry=depthwise_geometries(input_dilations=(1, 2, 3)))
def test_agrees_with_loops(geometry: ConvGeometry) -> None:
    assert LOWERING.why_not(geometry, jnp.float32, "forward") is None
    _check(geometry)


@settings(max_examples=25, deadline=None)
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
