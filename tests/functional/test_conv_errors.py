"""Every mistake that the convolution functions detect, and its message."""

import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import pytest

from jaxcnn._errors import ShapeError
from jaxcnn.functional._conv import conv
from jaxcnn.functional._conv_grads import conv_input_grad, conv_kernel_grad
from jaxcnn.functional._conv_transpose import conv_transpose
from jaxcnn.functional._explain import explain_conv
from jaxcnn.functional._local_conv import local_conv
from jaxcnn.functional._separable import depthwise_conv, pointwise_conv, separable_conv
from jaxcnn.functional._tiled_conv import tiled_conv

X, KERNEL = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))


def ones(*shape: int) -> Any:
    return jnp.ones(shape)


CONV: list[tuple[str, Callable[[], Any], str]] = [
    (
        "groups and channels",
        lambda: conv(X, KERNEL, feature_group_count=2),
        "conv: the kernel reads 3 x 2 groups = 6 channels but x has 3 (x.shape=(1, 8, 8, 3)). Is x channels-first?",
    ),
    ("channels", lambda: conv(X, ones(3, 3, 5, 4)), "reads 5 channels but x has 3 (x.shape=(1, 8, 8, 3))"),
    (
        "channels first",
        lambda: conv(ones(1, 3, 8, 8), KERNEL),
        "Is x channels-first? Its axis -3 has 3: jnp.moveaxis(x, -3, -1).",
    ),
    (
        "kernel of PyTorch",
        lambda: conv(ones(2, 8, 8, 4), ones(8, 4, 3, 3)),
        "Is the kernel (out, in, *window), as in PyTorch? jnp.transpose(kernel, (2, 3, 1, 0)).",
    ),
    (
        "kernel not divided",
        lambda: conv(ones(8, 8, 4), ones(3, 3, 4, 4), feature_group_count=4),
        "With groups the kernel's axis -2 holds in_channels // feature_group_count = 1.",
    ),
    (
        "groups do not divide the input",
        lambda: conv(X, ones(3, 3, 1, 4), feature_group_count=2),
        "feature_group_count=2 does not divide 3.",
    ),
    (
        "groups do not divide the output",
        lambda: conv(ones(8, 8, 6), ones(3, 3, 2, 4), feature_group_count=3),
        "feature_group_count=3 does not divide the 4 output channels. The nearest divisors are 2 and 4.",
    ),
    ("no groups", lambda: conv(X, KERNEL, feature_group_count=0), "feature_group_count=0 must be at least 1"),
    ("rank of x", lambda: conv(ones(8, 8), KERNEL), "Is the channel axis missing? Try x[..., None]."),
    ("rank of the kernel", lambda: conv(X, ones(3, 4)), "is for pointwise_conv"),
    ("empty window", lambda: conv(X, ones(0, 3, 3, 4)), "the window of kernel=(0, 3) must be at least 1"),
    (
        "window too large",
        lambda: conv(X, ones(9, 3, 3, 4), padding="VALID"),
        "on spatial axis 0 the window of 9 is larger than the input of 8 with padding (0, 0) (8 in all)",
    ),
    (
        "dilated window too large",
        lambda: conv(X, KERNEL, padding="VALID", kernel_dilation=(1, 4)),
        "on spatial axis 1 the window of 3, 9 with dilation 4 is larger",
    ),
    ("all cropped", lambda: conv(X, KERNEL, padding=-4, padding_mode="edge"), "would be empty"),
    ("padding", lambda: conv(X, KERNEL, padding="smae"), "padding='smae' is not known. Did you mean 'SAME'?"),
    ("lower case", lambda: conv(X, KERNEL, padding="same"), "Did you mean 'SAME'?"),
    ("padding of one axis", lambda: conv(X, KERNEL, padding=(1,)), "has 1 entries for 2 spatial axes"),
    ("padding mode", lambda: conv(X, KERNEL, padding_mode="reflekt"), "padding_mode='reflekt' is not known. Did you m"),
    ("torch's mode", lambda: conv(X, KERNEL, padding_mode="replicate"), "padding_mode='replicate' is not known. "),
    ("empty axis", lambda: conv(ones(0, 3), ones(3, 3, 4), padding=3, padding_mode="edge"), "cannot pad an empty axis"),
    ("algorithm", lambda: conv(X, KERNEL, algorithm="ftt"), "algorithm='ftt' is not known. Did you mean 'fft'?"),
    ("stride 0", lambda: conv(X, KERNEL, strides=0), "strides=0 must be at least 1 on every axis"),
    ("strides of one axis", lambda: conv(X, KERNEL, strides=(2,)), "strides=(2,) has 1 entries but there are 2"),
    ("dilation 0", lambda: conv(X, KERNEL, kernel_dilation=(1, 0)), "kernel_dilation=(1, 0) must be at least 1"),
    ("input dilation 0", lambda: conv(X, KERNEL, input_dilation=0), "input_dilation=0 must be at least 1"),
    (
        "bias",
        lambda: conv(X, KERNEL, bias=ones(3)),
        "conv: bias must have one entry per output channel, shape (4,), but has (3,).",
    ),
    ("scalar bias", lambda: conv(X, KERNEL, bias=jnp.ones(())), "shape (4,), but has ()"),
    (
        "shifted",
        lambda: conv(X, KERNEL, algorithm="shifted"),
        "algorithm='shifted' does not support this: it requires one input channel per group, and there are 3",
    ),
    ("grouped", lambda: conv(X, KERNEL, algorithm="grouped"), "algorithm='grouped' does not support this"),
    ("matmul", lambda: conv(X, KERNEL, algorithm="matmul"), "a window of one position, and this one is (3, 3)"),
    (
        "matmul of groups",
        lambda: conv(ones(8, 4), ones(1, 2, 4), feature_group_count=2, algorithm="matmul"),
        "it requires one group, and there are 2",
    ),
    (
        "fft of integers",
        lambda: conv(X.astype(jnp.int8), KERNEL.astype(jnp.int8), algorithm="fft"),
        "algorithm='fft' does not support this: it rounds, so it requires floating or complex numbers, not int8",
    ),
    (
        "fft of 4 axes",
        lambda: conv(ones(2, 2, 2, 2, 1), ones(2, 2, 2, 2, 1, 1), algorithm="fft"),
        "it requires at most 3 spatial axes, and there are 4",
    ),
    (
        "explain forced",
        lambda: explain_conv((8, 8, 3), (3, 3, 3, 4), algorithm="matmul"),
        "explain_conv: algorithm='matmul' does not support this",
    ),
    (
        "explain operation",
        lambda: explain_conv((8, 8, 3), (3, 3, 3, 4), operation="forwards"),
        "operation='forwards' is not known. Did you mean 'forward'?",
    ),
    (
        "explain platform",
        lambda: explain_conv((8, 8, 3), (3, 3, 3, 4), platform="cuda"),
        "explain_conv: platform='cuda' is not known. Known: 'cpu', 'gpu', 'tpu'",
    ),
]

TRANSPOSE: list[tuple[str, Callable[[], Any], str]] = [
    (
        "channels swapped",
        lambda: conv_transpose(ones(4, 4, 3), ones(3, 3, 3, 5)),
        "reads 5 channels but x has 3 (kernel.shape=(3, 3, 3, 5), x.shape=(4, 4, 3)). The kernel is that of the conv",
    ),
    ("channels", lambda: conv_transpose(ones(4, 4, 3), ones(3, 3, 4, 5)), "Is x channels-first?"),
    (
        "groups",
        lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), feature_group_count=2),
        "conv_transpose: feature_group_count=2 does not divide the 3 input channels. The nearest divisors are 1 and 3.",
    ),
    (
        "SAME with output padding",
        lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), strides=2, output_padding=1),
        "padding='SAME' fixes the output at size * stride = (8,), so output_padding=(1,) has no place",
    ),
    (
        "too much output padding",
        lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), strides=2, padding="VALID", output_padding=2),
        "output_padding=(2,) must be smaller than the stride or the dilation",
    ),
    (
        "negative output padding",
        lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), padding="VALID", output_padding=-1),
        "output_padding=-1 must be at least 0",
    ),
    (
        "nothing left",
        lambda: conv_transpose(ones(2, 3), ones(3, 2, 3), padding=2),
        "the output would have spatial sizes (0,)",
    ),
    ("rank of the kernel", lambda: conv_transpose(ones(4, 3), ones(2, 3)), "(*window, out_channels // feature_group"),
    ("rank of x", lambda: conv_transpose(ones(4, 3), ones(3, 3, 2, 3)), "Is the channel axis missing?"),
    ("bias", lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), bias=ones(3)), "shape (2,), but has (3,)"),
    (
        "forced",
        lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), algorithm="shifted"),
        "conv_transpose: algorithm='shifted' does not support this",
    ),
]

OTHERS: list[tuple[str, Callable[[], Any], str]] = [
    (
        "cotangent of the input",
        lambda: conv_input_grad(ones(5, 4), ones(3, 2, 4), (6, 2)),
        "conv_input_grad: g must have the shape of the conv's output, (6, 4), but has (5, 4)",
    ),
    (
        "channels of the input",
        lambda: conv_input_grad(ones(5, 4), ones(3, 2, 4), (5, 3)),
        "conv_input_grad: the kernel reads 2 channels but x has 3",
    ),
    (
        "cotangent of the kernel",
        lambda: conv_kernel_grad(ones(2, 5, 4), ones(3, 5, 4), (3,)),
        "conv_kernel_grad: g must have the shape of the conv's output, (2, 5, 4), but has (3, 5, 4)",
    ),
    ("bare window", lambda: conv_kernel_grad(ones(5, 4), ones(5, 4), 3), "window_shape=3 can be read as (3,) for 1-D"),
    ("ranks", lambda: conv_kernel_grad(ones(5, 4), ones(1, 5, 4), (3,)), "and the same batch axes, but x.shape=(5, 4)"),
    (
        "groups of the kernel",
        lambda: conv_kernel_grad(ones(5, 4), ones(5, 3), (3,), feature_group_count=2),
        "conv_kernel_grad: feature_group_count=2 does not divide the 3 output channels",
    ),
    ("depthwise", lambda: depthwise_conv(X, ones(3, 3, 3, 1)), "but has (3, 3, 3, 1). Are its last two axes swapped?"),
    ("multiplier", lambda: depthwise_conv(X, ones(3, 3, 1, 4)), "4 outputs, which is not a multiple of the 3 channels"),
    ("rank", lambda: depthwise_conv(ones(8, 3), ones(3, 3, 1, 3)), "Is the channel axis missing?"),
    ("who", lambda: depthwise_conv(X, ones(3, 3, 1, 3), strides=0), "depthwise_conv: strides=0 must be at least 1"),
    ("pointwise", lambda: pointwise_conv(X, ones(1, 1, 3, 4)), "has (1, 1, 3, 4). Try kernel.reshape(3, 4)."),
    ("pointwise channels", lambda: pointwise_conv(X, ones(2, 4)), "reads 2 channels, but x.shape=(1, 8, 8, 3)"),
    ("pointwise bias", lambda: pointwise_conv(X, ones(3, 4), bias=ones(3)), "pointwise_conv: bias must have one entry"),
    (
        "separable",
        lambda: separable_conv(X, ones(3, 3, 1, 6), ones(1, 1, 3, 4)),
        "the pointwise kernel must have the shape (1, 1, 6, out_channels), but has (1, 1, 3, 4)",
    ),
    (
        "separable bias",
        lambda: separable_conv(X, ones(3, 3, 1, 3), ones(1, 1, 3, 4), bias=ones(3)),
        "separable_conv: bias must have one entry per output channel, shape (4,)",
    ),
]

KINDS: list[tuple[str, Callable[[], Any], str]] = [
    ("float stride", lambda: conv(X, KERNEL, strides=2.0), "conv: strides must be an integer, not 2.0 (float)"),
    ("float strides", lambda: conv(X, KERNEL, strides=(1, 1.5)), "conv: strides must be an integer, not 1.5 (float)"),
    ("float padding", lambda: conv(X, KERNEL, padding=0.5), "conv: padding must be an integer, not 0.5"),
    ("true as a stride", lambda: conv(X, KERNEL, strides=True), "conv: strides must be an integer, not True"),
    ("word for strides", lambda: conv(X, KERNEL, strides="2"), "strides must be an integer or one integer per axis"),
    (
        "float groups",
        lambda: conv(X, KERNEL, feature_group_count=1.0),
        "feature_group_count must be an integer, not 1.0",
    ),
    (
        "float output padding",
        lambda: conv_transpose(ones(4, 3), ones(3, 2, 3), output_padding=0.0),
        "must be an integer",
    ),
    (
        "one axis for a shape",
        lambda: conv_input_grad(X, ones(3, 3, 3, 3), 8),
        "input_shape must be the whole shape, such as",
    ),
    (
        "float shape",
        lambda: conv_input_grad(X, ones(3, 3, 3, 3), (1, 8.0, 8, 3)),
        "input_shape must be an integer, not 8.0",
    ),
    ("no x", lambda: conv(None, KERNEL), "conv: x must be an array"),
    ("no kernel", lambda: conv(X, None), "conv: kernel must be an array"),
    (
        "no x to transpose",
        lambda: conv_transpose(None, KERNEL),
        "conv_transpose: x must be an array",
    ),
    (
        "no cotangent",
        lambda: conv_input_grad(None, KERNEL, (8, 8, 3)),
        "conv_input_grad: g must be an array",
    ),
    (
        "no input",
        lambda: conv_kernel_grad(None, X, (3, 3)),
        "conv_kernel_grad: x must be an array",
    ),
    (
        "no depthwise kernel",
        lambda: depthwise_conv(X, None),
        "depthwise_conv: kernel must be an array",
    ),
    (
        "no pointwise kernel",
        lambda: pointwise_conv(X, None),
        "pointwise_conv: kernel must be an array",
    ),
    (
        "half separable",
        lambda: separable_conv(X, ones(3, 3, 1, 3), None),
        "pointwise_kernel must be an array",
    ),
    ("no local kernel", lambda: local_conv(X, None), "local_conv: kernel must be an array"),
    ("no tiled kernel", lambda: tiled_conv(X, None), "tiled_conv: kernel must be an array"),
]


def check(call: Callable[[], Any], message: str) -> None:
    """An invalid size is a ShapeError; an unknown name or an unsupported algorithm is a ValueError."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    words = ("is not known", "does not support this")
    assert caught.type is (ValueError if any(word in str(caught.value) for word in words) else ShapeError)


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in CONV], ids=[row[0] for row in CONV])
def test_conv(call: Callable[[], Any], message: str) -> None:
    check(call, message)


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in TRANSPOSE], ids=[row[0] for row in TRANSPOSE])
def test_conv_transpose(call: Callable[[], Any], message: str) -> None:
    check(call, message)


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_others(call: Callable[[], Any], message: str) -> None:
    check(call, message)


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS])
def test_kinds(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        call()
