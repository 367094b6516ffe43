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
    "rows",
    "broadcast",
    "im2col",
    "phases",
    "winograd",
    "depth",
    "fft",
]
# The reduction of a pool over the entries of a bin.
PoolKind = Literal["max", "avg"]
# How images of another shape are resized for a network: all of the image fits, or the image covers the whole input.
Resize = Literal["fit", "cover"]
SignalMode = Literal["full", "same", "valid"]
# The window of the first convolution of a network.
Stem = Literal["7x7", "3x3"]
