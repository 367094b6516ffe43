"""Products of spectra, against loops."""

from hypothesis import given

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms import _fft
from tests.examples import examples
from tests.functional.engine.dense import check, dense_geometries


@examples(20)
@given(geometry=dense_geometries())
def test_both_operations_agree_with_loops(geometry: ConvGeometry) -> None:
    check(_fft.ALGORITHM, geometry, "forward")
    check(_fft.ALGORITHM, geometry, "kernel_grad")
