"""Options with a fixed set of values that several modules share, as types."""

from typing import Literal

# ``"auto"``, and the names of ``functional.conv_algorithms()``.
ConvAlgorithm = Literal[
    "auto",
    "xla",
    "shifted",
    "partial_sums",
    "grouped",
    "matmul",
    "whole",
    "broadcast",
    "im2col",
    "phases",
    "winograd",
    "depth",
    "fft",
]
# What a pool keeps of a bin.
PoolKind = Literal["max", "avg"]
# How images of another shape are brought to the size of a network.
Resize = Literal["fit", "cover"]
SignalMode = Literal["full", "same", "valid"]
# The window of the first convolution of a network.
Stem = Literal["7x7", "3x3"]
