"""Which formulation ``algorithm="auto"`` takes: a pure rule of static shapes, dtype and platform."""

import dataclasses
from typing import Any, Literal

from jaxcnn.shapes.conv import ConvGeometry

Operation = Literal["forward", "input_grad", "kernel_grad"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """The name of a formulation and the reason for taking it."""

    algorithm: str
    reason: str


def choose(geometry: ConvGeometry, *, operation: Operation, dtype: Any, platform: str) -> Choice:
    """The formulation for one operation on one platform."""
    return Choice("xla", "XLA's own convolution serves everything")
