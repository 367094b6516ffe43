"""Three axes as two, against loops."""

import jax.numpy as jnp
from hypothesis import given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional.lowering import depth
from tests.examples import examples
from tests.functional.lowering.dense import check, check_inside_shard_map, dense_geometries


@examples(25)
@given(geometry=dense_geometries(ndims=(3,)))
def test_three_axes_agree_with_loops(geometry: ConvGeometry) -> None:
    check(depth.LOWERING, geometry, "forward")
    check(depth.LOWERING, geometry, "kernel_grad")


def test_inside_shard_map() -> None:
    geometry = conv_geometry((2, 4, 4, 3, 2), (3, 2, 2, 2, 3), strides=(1, 2, 1))
    check_inside_shard_map(depth.LOWERING, geometry, "forward")
    check_inside_shard_map(depth.LOWERING, geometry, "kernel_grad")


def test_other_ranks_and_groups_are_refused() -> None:
    flat = conv_geometry((1, 9, 9, 2), (3, 3, 2, 2))
    assert depth.LOWERING.why_not(flat, jnp.float32, "forward") == "it wants 3 spatial axes, and there are 2"
    groups = conv_geometry((1, 4, 4, 4, 2), (3, 3, 3, 1, 2), feature_group_count=2)
    assert depth.LOWERING.why_not(groups, jnp.float32, "forward") == "it wants one group, and there are 2"
