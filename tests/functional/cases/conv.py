"""Rows for conv: every option, and several algorithms by name."""

from jaxcnn.functional._conv import conv
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="conv",
        call=lambda x, kernel, bias: conv(x, kernel, bias=bias),
        shapes=((8, 5, 6, 3), (3, 4, 3, 4), (4,)),
        symbolic=("b, h, w, ...", "...", "..."),
        batched=(True, False, False),
        note="2-D, bias",
        like="conv-strided, dilated, flipped",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(
            x,
            kernel,
            strides=(2, 3),
            padding=((1, 2), (3, -1)),
            input_dilation=(2, 1),
            kernel_dilation=(1, 2),
            flip_kernel=True,
        ),
        shapes=((8, 4, 7, 2), (2, 3, 2, 3)),
        symbolic=("b, h, w, ...", "..."),
        batched=(True, False),
        note="strided, dilated, flipped",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, strides=2, feature_group_count=2, padding="SAME_LOWER"),
        shapes=((8, 5, 4, 4), (3, 2, 2, 6)),
        symbolic=("b, h, w, ...", "..."),
        batched=(True, False),
        note="grouped",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, padding_mode="reflect", padding="FULL"),
        shapes=((8, 6, 2), (3, 2, 2)),
        symbolic=("b, h, ...", "..."),
        batched=(True, False),
        note="1-D, reflect",
        like="conv-fft, circular",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, padding_mode="edge", padding=((2, 0), (0, 1), (1, 0)), input_dilation=2),
        shapes=((8, 3, 2, 2, 1), (2, 1, 3, 1, 2)),
        symbolic=("b, h, w, d, ...", "..."),
        batched=(True, False),
        note="3-D, edge",
        like="conv-strided, dilated, flipped",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, algorithm="fft", strides=(1, 2), padding_mode="circular"),
        shapes=((8, 4, 5, 2), (3, 3, 2, 3)),
        batched=(True, False),
        note="fft, circular",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, algorithm="fft", feature_group_count=2, kernel_dilation=2),
        shapes=((8, 5, 4), (3, 2, 4)),
        batched=(True, False),
        note="fft, grouped",
        like="conv-fft, circular",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, algorithm="shifted", feature_group_count=3, strides=2),
        shapes=((8, 5, 4, 3), (3, 2, 1, 6)),
        batched=(True, False),
        note="shifted",
    ),
    Case(
        function="conv",
        call=lambda x, kernel: conv(x, kernel, algorithm="matmul", strides=(2, 1), padding=((1, 0), (0, 0))),
        shapes=((8, 4, 3, 3), (1, 1, 3, 2)),
        batched=(True, False),
        note="matmul",
    ),
]
