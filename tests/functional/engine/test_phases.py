"""Strides and input dilation as channels, against loops."""

from hypothesis import assume, given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _phases
from tests.examples import examples
from tests.functional.engine.dense import check, check_inside_shard_map, dense_geometries, plan_of


@examples(25)
@given(geometry=dense_geometries(ndims=(1, 2), input_dilations=(1,), kernel_dilations=(1,)))
def test_strides_agree_with_loops(geometry: ConvGeometry) -> None:
    assume(max(geometry.strides) > 1)
    check(_phases.ALGORITHM, geometry, "forward")
    check(_phases.ALGORITHM, geometry, "kernel_grad")


@examples(25)
@given(geometry=dense_geometries(ndims=(1, 2), strides=(1,), kernel_dilations=(1,)))
def test_dilated_inputs_agree_with_loops(geometry: ConvGeometry) -> None:
    assume(max(geometry.input_dilation) > 1)
    check(_phases.ALGORITHM, geometry, "forward")


def test_a_window_as_long_as_its_stride_is_a_matrix_product() -> None:
    geometry = conv_geometry((2, 8, 8, 3), (4, 4, 3, 5), strides=4, padding="VALID")
    assert _phases.folded(geometry).window == (1, 1)
    assert _phases.unfolded(geometry.transposed())[0].window == (1, 1)
    check(_phases.ALGORITHM, geometry, "forward")
    check(_phases.ALGORITHM, geometry.transposed(), "forward")


def test_inside_shard_map() -> None:
    geometry = conv_geometry((2, 6, 5, 2), (3, 3, 2, 3), strides=2)
    check_inside_shard_map(_phases.ALGORITHM, geometry, "kernel_grad")
    check_inside_shard_map(_phases.ALGORITHM, geometry.transposed(), "forward")


def test_what_is_refused_says_why() -> None:
    def why_not(operation: str = "forward", groups: int = 1, **options: int) -> str | None:
        geometry = conv_geometry((1, 9, 9, 2), (3, 3, 2 // groups, 2), feature_group_count=groups, **options)
        return _phases.ALGORITHM.why_not(plan_of(geometry), operation)  # type: ignore[arg-type]

    assert why_not(strides=2) is None
    assert why_not(strides=2, groups=2) == "it requires one group, and there are 2"
    assert why_not(strides=2, kernel_dilation=2) == "it requires a kernel without dilation"
    deep = conv_geometry((1, 4, 4, 4, 2), (3, 3, 3, 2, 2), strides=2)
    expected = "it requires at most 2 spatial axes, and there are 3"
    assert _phases.ALGORITHM.why_not(plan_of(deep), "forward") == expected
    assert why_not() == "it requires either strides or a dilated input"
    assert why_not("kernel_grad", input_dilation=2) == "it requires strides for a kernel gradient"
