"""Three axes computed as two, against loops."""

import functools

import jax
import numpy as np
from hypothesis import given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _depth
from tests.examples import examples
from tests.functional.engine.dense import (
    check,
    check_inside_shard_map,
    dense_geometries,
    plan_of,
    random_operands,
)
from tests.functional.engine.groups import grouped_geometries, loop_grouped_forward, loop_grouped_kernel_grad


@examples(25)
@given(geometry=dense_geometries(ndims=(3,)))
def test_three_axes_agree_with_loops(geometry: ConvGeometry) -> None:
    check(_depth.ALGORITHM, geometry, "forward")
    check(_depth.ALGORITHM, geometry, "kernel_grad")


def test_inside_shard_map() -> None:
    geometry = conv_geometry((2, 4, 4, 3, 2), (3, 2, 2, 2, 3), strides=(1, 2, 1))
    check_inside_shard_map(_depth.ALGORITHM, geometry, "forward")
    check_inside_shard_map(_depth.ALGORITHM, geometry, "kernel_grad")


@examples(25)
@given(geometry=grouped_geometries(ndims=(3,)))
def test_groups_agree_with_loops(geometry: ConvGeometry) -> None:
    """The taps of a group become channels of that group."""
    x, kernel, g = random_operands(geometry)
    y = jax.jit(functools.partial(_depth.forward, plan=plan_of(geometry)))(x, kernel)
    np.testing.assert_allclose(y, loop_grouped_forward(x, kernel, geometry), atol=1e-4)
    dk = jax.jit(functools.partial(_depth.kernel_grad, plan=plan_of(geometry)))(x, g)
    np.testing.assert_allclose(dk, loop_grouped_kernel_grad(x, g, geometry), atol=1e-4)


def test_other_ranks_are_refused() -> None:
    flat = conv_geometry((1, 9, 9, 2), (3, 3, 2, 2))
    assert _depth.ALGORITHM.why_not(plan_of(flat), "forward") == "it requires 3 spatial axes, and there are 2"
