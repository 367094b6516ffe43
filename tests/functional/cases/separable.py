"""Rows for depthwise_conv, pointwise_conv and separable_conv."""

from jaxcnn.functional._separable import depthwise_conv, pointwise_conv, separable_conv
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="depthwise_conv",
        call=lambda x, kernel, bias: depthwise_conv(x, kernel, bias=bias, strides=2),
        shapes=((8, 5, 4, 3), (3, 3, 1, 6), (6,)),
        symbolic=("b, h, w, ...", "...", "..."),
        batched=(True, False, False),
        like="conv-shifted",
    ),
    Case(
        function="pointwise_conv",
        call=lambda x, kernel, bias: pointwise_conv(x, kernel, bias=bias),
        shapes=((8, 3, 2, 3), (3, 4), (4,)),
        symbolic=("b, h, w, ...", "...", "..."),
        batched=(True, False, False),
        like="conv-matmul",
    ),
    Case(
        function="separable_conv",
        call=lambda x, depthwise, pointwise, bias: separable_conv(x, depthwise, pointwise, bias=bias),
        shapes=((8, 4, 3, 2), (3, 2, 1, 4), (1, 1, 4, 3), (3,)),
        symbolic=("b, h, w, ...", "...", "...", "..."),
        batched=(True, False, False, False),
        like="conv-grouped",
    ),
]
