"""Rows for conv_input_grad and conv_kernel_grad."""

from typing import Any

from jaxcnn.functional._conv_grads import conv_input_grad, conv_kernel_grad
from tests.functional.cases.case import Case

OPTIONS: dict[str, Any] = {
    "strides": (3, 2),
    "padding": ((1, 2), (0, 1)),
    "input_dilation": (1, 2),
    "kernel_dilation": (2, 1),
    "flip_kernel": True,
}

CASES = [
    Case(
        function="conv_input_grad",
        call=lambda g, kernel: conv_input_grad(g, kernel, (*g.shape[:-3], 7, 4, 2), **OPTIONS),
        shapes=((8, 3, 4, 3), (2, 2, 2, 3)),
        batched=(True, False),
        note="strided, dilated",
    ),
    Case(
        function="conv_input_grad",
        call=lambda g, kernel: conv_input_grad(
            g, kernel, (*g.shape[:-2], 5, 4), padding_mode="reflect", feature_group_count=2
        ),
        shapes=((8, 5, 6), (3, 2, 6)),
        batched=(True, False),
        note="grouped, reflect",
        like="conv_input_grad-strided, dilated",
    ),
    Case(
        function="conv_kernel_grad",
        call=lambda x, g: conv_kernel_grad(x, g, (2, 2), **OPTIONS),
        shapes=((8, 7, 4, 2), (8, 3, 4, 3)),
        batched=(True, True),
        reduces_batch=True,
        note="strided, dilated",
    ),
    Case(
        function="conv_kernel_grad",
        call=lambda x, g: conv_kernel_grad(x, g, (3,), padding_mode="edge", feature_group_count=2),
        shapes=((8, 5, 4), (8, 5, 6)),
        symbolic=("b, h, ...", "b, h, ..."),
        batched=(True, True),
        reduces_batch=True,
        note="grouped, edge",
        like="conv_kernel_grad-strided, dilated",
    ),
    Case(
        function="conv_kernel_grad",
        call=lambda x, g: conv_kernel_grad(x, g, (3,), algorithm="fft", strides=2),
        shapes=((8, 5, 2), (8, 3, 3)),
        batched=(True, True),
        reduces_batch=True,
        note="fft",
        like="conv-fft, circular",
    ),
]
