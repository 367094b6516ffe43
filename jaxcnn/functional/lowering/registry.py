"""The formulations there are, by name."""

from jaxcnn.functional.lowering import (
    broadcast,
    depth,
    fft,
    grouped,
    im2col,
    matmul,
    partial_sums,
    phases,
    shifted,
    winograd,
    xla,
)
from jaxcnn.functional.lowering.lowering import Lowering

LOWERINGS: dict[str, Lowering] = {
    module.LOWERING.name: module.LOWERING
    for module in (xla, shifted, partial_sums, grouped, matmul, broadcast, im2col, phases, winograd, depth, fft)
}
