"""Rows for tiled_conv: few tiles are computed as convolutions, many tiles as one product of windows."""

from jaxcnn.functional._tiled_conv import tiled_conv
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="tiled_conv",
        call=lambda x, kernel, bias: tiled_conv(x, kernel, bias=bias),
        shapes=((8, 5, 4, 2), (2, 1, 3, 2, 2, 3), (2, 1, 3)),
        symbolic=("b, h, w, ...", "...", "..."),
        batched=(True, False, False),
        note="two tiles, bias per tile",
        like="tiled_conv-grouped, strided, dilated, flipped",
    ),
    Case(
        function="tiled_conv",
        call=lambda x, kernel, bias: tiled_conv(
            x,
            kernel,
            bias=bias,
            strides=(2, 1),
            padding="FULL",
            kernel_dilation=(1, 2),
            feature_group_count=2,
            flip_kernel=True,
        ),
        shapes=((8, 5, 6, 4), (2, 2, 3, 2, 2, 2), (2,)),
        batched=(True, False, False),
        note="grouped, strided, dilated, flipped",
    ),
    Case(
        function="tiled_conv",
        call=lambda x, kernel: tiled_conv(x, kernel, padding_mode="reflect"),
        shapes=((8, 7, 6, 2), (5, 4, 2, 3, 2, 2)),
        symbolic=("b, h, w, ...", "..."),
        batched=(True, False),
        note="twenty tiles",
    ),
    Case(
        function="tiled_conv",
        call=lambda x, kernel: tiled_conv(x, kernel, input_dilation=2, padding="CAUSAL"),
        shapes=((8, 3, 2), (2, 3, 2, 1)),
        batched=(True, False),
        note="1-D, causal",
        like="tiled_conv-grouped, strided, dilated, flipped",
    ),
]
