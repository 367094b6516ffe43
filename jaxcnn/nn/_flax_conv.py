"""Flax's options of convolutions, translated to the options of ``jaxcnn.functional``."""

from collections.abc import Sequence
from typing import Literal, get_args

from jaxcnn._axes import IntPerAxis, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import PADDING_NAMES, Padding, PaddingCounts, PaddingMode, Pads, explicit_pads, reach

FlaxMode = Literal["CIRCULAR", "REFLECT"]
FlaxPadding = Padding | FlaxMode
FlaxTransposeName = Literal["SAME", "VALID", "CIRCULAR"]
FlaxTransposePadding = FlaxTransposeName | PaddingCounts


def kernel_size_per_axis(kernel_size: object, x_shape: Sequence[int]) -> tuple[int, ...]:
    """The window of a module, with one integer per spatial axis.

    Raises:
        ShapeError: a bare int, or an input with fewer axes than the window and the channels require.

    >>> kernel_size_per_axis((3, 3), (8, 32, 32, 3))
    (3, 3)
    """
    window = window_per_axis(kernel_size, name="kernel_size")
    if len(x_shape) < len(window) + 1:
        raise ShapeError(
            f"kernel_size={window} requires inputs of the shape (*batch, *spatial, channels) with "
            f"{len(window)} spatial axes, but they have shape {tuple(x_shape)}. "
            f"Is the channel axis missing? Try x[..., None]."
        )
    return window


def flax_conv_padding(
    padding: FlaxPadding, padding_mode: PaddingMode, window: Sequence[int], *, kernel_dilation: IntPerAxis
) -> tuple[Padding, PaddingMode]:
    """``padding`` and ``padding_mode`` of the library for Flax's argument ``padding``.

    For every stride, Flax's ``"CIRCULAR"`` and ``"REFLECT"`` apply the padding that preserves the size at stride 1.

    Raises:
        ValueError: an unknown name, or a name that contradicts ``padding_mode``.

    >>> flax_conv_padding("CIRCULAR", "zeros", (4,), kernel_dilation=(1,))
    (((1, 2),), 'circular')
    """
    if not isinstance(padding, str):
        return padding, padding_mode
    check_choice(padding, (*PADDING_NAMES, *get_args(FlaxMode)), name="padding")
    if padding != "CIRCULAR" and padding != "REFLECT":
        return padding, padding_mode
    mode: PaddingMode = "circular" if padding == "CIRCULAR" else "reflect"
    if padding_mode not in ("zeros", mode):
        raise ValueError(f"padding={padding!r} and padding_mode={padding_mode!r} contradict each other.")
    gaps = int_per_axis(kernel_dilation, len(window), name="kernel_dilation")
    spans = [reach(w, d) for w, d in zip(window, gaps, strict=True)]
    return tuple(((span - 1) // 2, span // 2) for span in spans), mode


def flax_transpose_pads(
    padding: FlaxTransposePadding,
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: Sequence[int],
    kernel_dilation: Sequence[int],
    transpose_kernel: bool,
) -> Pads:
    """The padding that Flax's ``ConvTranspose`` applies to its dilated input before a convolution with stride 1.

    Explicit counts pad the dilated input, unlike those of ``functional.conv_transpose``, which are the padding of the
    forward convolution. With ``"VALID"``, a stride larger than the window leaves zeros at the end, so that the size is
    ``n*s + max(k - s, 0)``. ``"CIRCULAR"`` gives ``n*s`` positions with period ``n*s`` and Flax's offset.

    Raises:
        ShapeError: counts for another number of axes.
        ValueError: an unknown name.
        TypeError: a count that is not an integer.

    >>> flax_transpose_pads("VALID", (4,), (2,), strides=(3,), kernel_dilation=(1,), transpose_kernel=False)
    ((1, 2),)
    """
    if not isinstance(padding, str):
        return explicit_pads(padding, len(window))
    check_choice(padding, get_args(FlaxTransposeName), name="padding")
    pads = []
    for size, entry, stride, dilation in zip(sizes, window, strides, kernel_dilation, strict=True):
        span = reach(entry, dilation)
        if padding == "SAME":
            total = span + stride - 2
            before = span - 1 if stride > span - 1 else -(-total // 2)
        elif padding == "VALID":
            total = span + stride - 2 + max(span - stride, 0)
            before = span - 1
        else:
            total = span - 1
            over = -max(span - stride, 0) % (2 * size * stride)
            before = total + (over if transpose_kernel else over + 1) // 2
        pads.append((before, total - before))
    return tuple(pads)
