"""What XLA's own convolution costs on the two-core CPU that the rule was calibrated on."""

from typing import Any

from jaxcnn.functional.lowering.lowering import Operation
from jaxcnn.shapes.conv import ConvGeometry


def xla_seconds(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """Seconds from counts, one rate for each of the ways that XLA:CPU takes."""
    macs = geometry.multiply_adds
    if geometry.groups == geometry.in_channels > 1:
        return 1e-5 + macs / 0.8e9
    if geometry.groups > 1:
        return 1e-5 + macs / (0.1e9 if operation == "kernel_grad" else 3e9)
    return dense_seconds(geometry, dtype, operation)


def dense_seconds(geometry: ConvGeometry, dtype: Any, operation: Operation) -> float:
    """The same for one group."""
    return 1e-5 + geometry.multiply_adds / (40e9 if operation == "kernel_grad" else 100e9)
