"""Products of spectra, against loops."""

from hypothesis import given

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering import fft
from tests.examples import examples
from tests.functional.lowering.dense import check, dense_geometries


@examples(20)
@given(geometry=dense_geometries())
def test_both_operations_agree_with_loops(geometry: ConvGeometry) -> None:
    check(fft.LOWERING, geometry, "forward")
    check(fft.LOWERING, geometry, "kernel_grad")
