"""Rows for conv_transpose."""

from jaxcnn.functional._conv_transpose import conv_transpose
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="conv_transpose",
        call=lambda x, kernel, bias: conv_transpose(x, kernel, bias=bias, strides=2),
        shapes=((8, 3, 4, 3), (3, 2, 2, 3), (2,)),
        symbolic=("b, h, w, ...", "...", "..."),
        batched=(True, False, False),
        note="SAME, bias",
        like="conv_transpose-grouped, dilated, output padding",
    ),
    Case(
        function="conv_transpose",
        call=lambda x, kernel: conv_transpose(
            x,
            kernel,
            strides=(2, 3),
            padding=((1, 0), (-1, 2)),
            output_padding=(1, 2),
            kernel_dilation=(2, 1),
            feature_group_count=2,
            flip_kernel=True,
        ),
        shapes=((8, 3, 2, 4), (2, 3, 3, 4)),
        symbolic=("b, h, w, ...", "..."),
        batched=(True, False),
        note="grouped, dilated, output padding",
    ),
    Case(
        function="conv_transpose",
        call=lambda x, kernel: conv_transpose(x, kernel, algorithm="fft", padding="VALID"),
        shapes=((8, 4, 2), (3, 3, 2)),
        batched=(True, False),
        note="1-D, fft",
        like="conv-fft, circular",
    ),
]
