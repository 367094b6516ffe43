"""Which formulation ``algorithm="auto"`` takes: a pure rule of static shapes, dtype and platform.

The thresholds come from timings of forward and both gradients on a two-core CPU, with plain differentiation through
the formulation. Where a formulation is within noise of XLA's own convolution, XLA's is taken.
"""

import dataclasses
from math import prod
from typing import Any, Literal

from jaxcnn.functional.lowering.registry import LOWERINGS
from jaxcnn.shapes.conv import ConvGeometry, groups_per_block

Operation = Literal["forward", "input_grad", "kernel_grad"]
PLATFORMS = ("cpu", "gpu", "tpu")
OPERATIONS: tuple[Operation, ...] = ("forward", "input_grad", "kernel_grad")

SHIFTED_TAPS = 64  # above, the unrolled gradient of a depthwise kernel is slower than its spectrum
MOST_BLOCKS = 64  # more convolutions than this take too long to compile
FFT_TAPS = 441  # 21 x 21, where dense spectra start to win
FFT_LENGTH = 127  # on one axis, where a dense 1-D convolution is no longer a short row of matrix products


@dataclasses.dataclass(frozen=True)
class Choice:
    """The name of a formulation and the reason for taking it."""

    algorithm: str
    reason: str

    def __str__(self) -> str:
        return f"{self.algorithm}: {self.reason}"


def choose(geometry: ConvGeometry, *, operation: Operation, dtype: Any, platform: str) -> Choice:
    """The formulation for one operation on one platform, always one that serves it."""
    if platform != "cpu":
        return Choice("xla", f"on {platform} XLA's own convolution is taken")
    choice = _choose_on_cpu(geometry)
    if LOWERINGS[choice.algorithm].unserved(geometry, dtype) is not None:
        return Choice("xla", "it serves everything")
    return choice


def _choose_on_cpu(geometry: ConvGeometry) -> Choice:
    taps = prod(geometry.window)
    dense_steps = all(step == 1 for step in (*geometry.strides, *geometry.input_dilation))
    depthwise = geometry.groups == geometry.in_channels > 1
    if depthwise and taps <= SHIFTED_TAPS:
        return Choice("shifted", "a depthwise kernel on a CPU is one fused loop of shifted multiply-adds")
    if depthwise and dense_steps:
        return Choice("fft", f"a depthwise kernel of {taps} taps costs less as a product of spectra")
    if geometry.groups > 1 and geometry.groups // groups_per_block(geometry) <= MOST_BLOCKS:
        return Choice("grouped", "on a CPU a few dense convolutions are faster than one with groups")
    if taps == 1 and geometry.groups == 1:
        return Choice("matmul", "a window of one position is a matrix product")
    if dense_steps and (taps >= FFT_TAPS or max(geometry.window) >= FFT_LENGTH):
        return Choice("fft", f"a window of {taps} taps costs less as a product of spectra")
    return Choice("xla", "XLA's own convolution is the fastest for dense windows of ordinary size")
