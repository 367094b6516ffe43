"""The formulations there are, by name."""

from jaxcnn.functional.lowering import fft, grouped, matmul, shifted, xla
from jaxcnn.functional.lowering.lowering import Lowering

LOWERINGS: dict[str, Lowering] = {
    module.LOWERING.name: module.LOWERING for module in (xla, shifted, grouped, matmul, fft)
}
