"""Rows for local_conv."""

from jaxcnn.functional._local_conv import local_conv
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="local_conv",
        call=lambda x, kernel, bias: local_conv(x, kernel, bias=bias),
        shapes=((8, 4, 3, 2), (4, 3, 3, 2, 2, 3), (4, 3, 3)),
        symbolic=("b, h, w, ...", "h, w, ...", "h, w, ..."),
        batched=(True, False, False),
        note="bias per position",
        like="local_conv-grouped, strided, dilated, flipped",
    ),
    Case(
        function="local_conv",
        call=lambda x, kernel, bias: local_conv(
            x,
            kernel,
            bias=bias,
            strides=(2, 1),
            padding=((1, 0), (2, -1)),
            kernel_dilation=(1, 2),
            feature_group_count=2,
            flip_kernel=True,
        ),
        shapes=((8, 5, 6, 4), (2, 5, 3, 2, 2, 2), (2,)),
        batched=(True, False, False),
        note="grouped, strided, dilated, flipped",
    ),
    Case(
        function="local_conv",
        call=lambda x, kernel: local_conv(x, kernel, input_dilation=2, padding_mode="circular"),
        shapes=((8, 3, 2), (5, 3, 2, 1)),
        batched=(True, False),
        note="1-D, circular",
        like="local_conv-grouped, strided, dilated, flipped",
    ),
]
