"""Three axes as two, against loops."""

from hypothesis import given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _depth
from tests.examples import examples
from tests.functional.engine.dense import check, check_inside_shard_map, dense_geometries, plan_of


@examples(25)
@given(geometry=dense_geometries(ndims=(3,)))
def test_three_axes_agree_with_loops(geometry: ConvGeometry) -> None:
    check(_depth.ALGORITHM, geometry, "forward")
    check(_depth.ALGORITHM, geometry, "kernel_grad")


def test_inside_shard_map() -> None:
    geometry = conv_geometry((2, 4, 4, 3, 2), (3, 2, 2, 2, 3), strides=(1, 2, 1))
    check_inside_shard_map(_depth.ALGORITHM, geometry, "forward")
    check_inside_shard_map(_depth.ALGORITHM, geometry, "kernel_grad")


def test_other_ranks_and_groups_are_refused() -> None:
    flat = conv_geometry((1, 9, 9, 2), (3, 3, 2, 2))
    assert _depth.ALGORITHM.why_not(plan_of(flat), "forward") == "it requires 3 spatial axes, and there are 2"
    groups = conv_geometry((1, 4, 4, 4, 2), (3, 3, 3, 1, 2), feature_group_count=2)
    assert _depth.ALGORITHM.why_not(plan_of(groups), "forward") == "it requires one group, and there are 2"
