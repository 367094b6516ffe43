"""The formulations there are, by name."""

from jaxcnn.functional.lowering import fft, matmul, shifted, xla
from jaxcnn.functional.lowering.lowering import Lowering

LOWERINGS: dict[str, Lowering] = {module.LOWERING.name: module.LOWERING for module in (xla, shifted, matmul, fft)}
