"""Which formulations of a convolution there are, and which one is taken for given shapes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import check_choice
from jaxcnn._geometry import PADDING_MODES, Padding, conv_geometry
from jaxcnn.functional.lowering import dispatch
from jaxcnn.functional.lowering.choice import PLATFORMS, Choice
from jaxcnn.functional.lowering.registry import LOWERINGS

OPERATIONS = ("forward", "input_grad", "kernel_grad")


def conv_algorithms() -> tuple[str, ...]:
    """The names that ``algorithm=`` takes beside ``"auto"``.

    ==================  ==========================================================================================
    ``"xla"``           XLA's own convolution: serves everything
    ``"shifted"``       one loop of multiply-adds over the taps: one input channel per group
    ``"partial_sums"``  the kernel gradient of the same, and of groups of more channels
    ``"grouped"``       a few dense convolutions over blocks of groups: more than one group
    ``"matmul"``        a matrix product: windows of one position, one group
    ``"broadcast"``     multiply-adds over taps and input channels: forward, few channels
    ``"im2col"``        windows laid out as rows, block by block, times the cotangent: kernel gradients, one group
    ``"phases"``        one convolution per phase of a dilated input, as in the input gradient of strides
    ``"winograd"``      minimal filtering of 3x3 windows, in float32
    ``"depth"``         three axes as two, with the third in the batch and the channels
    ``"fft"``           a product of spectra: floating and complex numbers, up to three axes; by name only
    ==================  ==========================================================================================

    >>> len(conv_algorithms())
    11
    """
    return tuple(LOWERINGS)


def explain_conv(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    padding_mode: str = "zeros",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    algorithm: str = "auto",
    dtype: Any = jnp.float32,
    operation: str = "forward",
    platform: str | None = None,
) -> Choice:
    """Says how ``conv`` of these shapes would be computed, and why; nothing is computed.

    Args:
        x_shape: shape of ``x``.
        kernel_shape: shape of the kernel.
        strides: as in ``conv``, and so are the options after it.
        padding: as in ``conv``.
        padding_mode: as in ``conv``.
        input_dilation: as in ``conv``.
        kernel_dilation: as in ``conv``.
        feature_group_count: as in ``conv``.
        algorithm: ``"auto"`` or a name, to see whether it serves.
        dtype: of the operands.
        operation: ``"forward"``, ``"input_grad"`` (which ``conv_transpose`` is too) or ``"kernel_grad"``.
        platform: ``"cpu"``, ``"gpu"``, ``"tpu"``; by default the one that JAX runs on.

    Returns:
        a ``Choice`` with the fields ``algorithm``, ``reason`` and ``candidates``; printed, a line for each of them.

    Raises:
        ShapeError: whatever ``conv`` would refuse, a named algorithm that does not serve included.
        TypeError: an option that is not an integer where one is wanted.

    >>> choice = explain_conv((8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="cpu")
    >>> print(str(choice).split("    ")[0])  # the lines after it are the estimates, and why others do not serve
    shifted: it has the lowest estimate
    <BLANKLINE>
    >>> explain_conv((8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="gpu").algorithm
    'xla'
    """
    check_choice(operation, OPERATIONS, name="operation")
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    here = jax.default_backend()
    check_choice(platform or here, (*PLATFORMS, here), name="platform")
    geometry = conv_geometry(
        x_shape,
        kernel_shape,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )
    if padding_mode != "zeros":
        geometry = geometry.padded()
    if operation == "input_grad":
        geometry = geometry.transposed()
    return dispatch.explain(
        geometry,
        algorithm=algorithm,
        operation="kernel_grad" if operation == "kernel_grad" else "forward",
        dtype=jnp.dtype(dtype),
        platform=platform or here,
    )
