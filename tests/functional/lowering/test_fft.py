"""Products of spectra, against loops."""

from hypothesis import given, settings

from jaxcnn.functional.lowering import fft
from jaxcnn.shapes.conv import ConvGeometry
from tests.functional.lowering.dense import check, dense_geometries


@settings(max_examples=20, deadline=None)
@given(geometry=dense_geometries())
def test_both_operations_agree_with_loops(geometry: ConvGeometry) -> None:
    check(fft.LOWERING, geometry, "forward")
    check(fft.LOWERING, geometry, "kernel_grad")
