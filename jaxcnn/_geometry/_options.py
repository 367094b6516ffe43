"""Options with a fixed set of values that several packages share, as types."""

from typing import Literal

# ``"auto"``, and the names of ``functional.conv_algorithms()``.
ConvAlgorithm = Literal[
    "auto",
    "xla",
    "shifted",
    "partial_sums",
    "grouped",
    "matmul",
    "broadcast",
    "im2col",
    "phases",
    "winograd",
    "depth",
    "fft",
]
SignalMode = Literal["full", "same", "valid"]
