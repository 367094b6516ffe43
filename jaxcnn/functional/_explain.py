"""The algorithms of convolutions, and which one is selected for given shapes."""

from collections.abc import Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import check_choice
from jaxcnn._geometry import ConvAlgorithm, Padding, PaddingMode
from jaxcnn.functional._engine import (
    ALGORITHMS,
    OPERATIONS,
    PLATFORMS,
    ConvExplanation,
    Operation,
    Partitioned,
    Platform,
    check_algorithm,
    choose,
    plan_conv,
)


def conv_algorithms() -> tuple[str, ...]:
    """The names that ``algorithm=`` accepts in addition to ``"auto"``.

    ==================  ==========================================================================================
    ``"xla"``           XLA's own convolution: supports everything
    ``"shifted"``       one loop of multiply-adds over the taps: one input channel per group
    ``"partial_sums"``  the kernel gradient of the same, and of groups of more channels
    ``"grouped"``       a few dense convolutions over blocks of groups: more than one group
    ``"matmul"``        a matrix product: windows of one position, one group
    ``"whole"``         a matrix product of whole maps: forward, few positions, one group
    ``"rows"``          a matrix product of whole rows: forward, two axes, stride 1 along the first, one group
    ``"broadcast"``     multiply-adds over taps and input channels: forward, few channels
    ``"im2col"``        windows as rows of a matrix, block by block, times the cotangent: kernel gradients
    ``"phases"``        strides or input dilation as channels: one or two axes, one group
    ``"winograd"``      minimal filtering of 3x3 windows, in float32
    ``"depth"``         three axes as two, with the third in the batch and the channels
    ``"fft"``           a product of spectra: floating and complex numbers, up to three axes; by name only
    ==================  ==========================================================================================

    ``"onednn"`` is not among them: only a table of ``jaxcnn bench --tune`` names it.

    >>> len(conv_algorithms())
    13
    """
    return tuple(ALGORITHMS)


def explain_conv(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: IntPerAxis = 1,
    padding: Padding = "SAME",
    padding_mode: PaddingMode = "zeros",
    input_dilation: IntPerAxis = 1,
    kernel_dilation: IntPerAxis = 1,
    feature_group_count: int = 1,
    algorithm: ConvAlgorithm = "auto",
    dtype: DTypeLike = jnp.float32,
    preferred_element_type: DTypeLike | None = None,
    operation: Operation = "forward",
    platform: Platform | None = None,
    partitioned: Partitioned = False,
) -> ConvExplanation:
    """How ``conv`` and its gradients are computed for given shapes, and why; nothing is computed.

    The choice is made by the function that selects the algorithm when a program is compiled.

    Args:
        x_shape: shape of ``x``.
        kernel_shape: shape of the kernel.
        strides: as in ``conv``, and so are the options after it.
        padding: as in ``conv``, like ``padding_mode``, ``input_dilation``, ``kernel_dilation``, ``feature_group_count``
            and ``algorithm``.
        dtype: of the operands.
        preferred_element_type: as in ``conv``.
        operation: ``"forward"``, ``"input_grad"`` (``conv_transpose`` is one too) or ``"kernel_grad"``. The fields
            ``algorithm``, ``reason`` and ``candidates`` of the result are about it, and a named algorithm must support
            it.
        platform: ``"cpu"``, ``"gpu"``, ``"tpu"``; by default the one that JAX runs on.
        partitioned: whether XLA partitions the program over devices, as ``jax.jit`` does with sharded arrays:
            ``"one axis"`` if the current mesh (``jax.set_mesh``) has one axis with more than one device, else True.
            The programs inside ``shard_map`` and ``pmap`` are not partitioned.

    Returns:
        a ``ConvExplanation`` with a choice for each operation in ``forward``, ``input_grad`` and ``kernel_grad``.

    Raises:
        ShapeError: shapes that ``conv`` refuses.
        ValueError: an option that does not exist, or a named algorithm that does not support the operation.
        TypeError: an option that must be an integer is not.

    >>> explanation = explain_conv((8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="cpu")
    >>> print("\\n".join(str(explanation).splitlines()[:3]))  # estimates follow, and why others are not available
    forward      shifted       it has the lowest estimate
    input_grad   shifted       it has the lowest estimate
    kernel_grad  partial_sums  it has the lowest estimate
    >>> explain_conv((8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="gpu").algorithm
    'xla'
    """
    check_choice(operation, OPERATIONS, name="operation")
    for name, shape in (("x_shape", x_shape), ("kernel_shape", kernel_shape)):
        if hasattr(shape, "shape"):
            raise TypeError(f"{name} must be a shape, not an array. Pass its .shape, {shape.shape}.")
    default = jax.default_backend()
    check_choice(platform or default, dict.fromkeys((*PLATFORMS, default)), name="platform")
    if partitioned not in get_args(Partitioned):
        raise ValueError(f"partitioned={partitioned!r} must be one of {get_args(Partitioned)}.")
    plan = plan_conv(
        tuple(x_shape),
        tuple(kernel_shape),
        (dtype, dtype, None),
        strides=strides,
        padding=padding,
        padding_mode=padding_mode,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
        flip_kernel=False,
        algorithm=algorithm,
        precision=None,
        preferred_element_type=preferred_element_type,
    )
    check_algorithm(plan, operation)
    where: dict[str, Any] = {"platform": platform or default, "partitioned": partitioned}
    forward, input_grad, kernel_grad = (choose(plan, each, **where) for each in OPERATIONS)
    return ConvExplanation(forward, input_grad, kernel_grad, operation, **where)
