"""The formulations there are, by name."""

from jaxcnn.functional.lowering import broadcast, depth, fft, grouped, im2col, matmul, phases, shifted, winograd, xla
from jaxcnn.functional.lowering.lowering import Lowering

LOWERINGS: dict[str, Lowering] = {
    module.LOWERING.name: module.LOWERING
    for module in (xla, shifted, grouped, matmul, broadcast, im2col, phases, winograd, depth, fft)
}
