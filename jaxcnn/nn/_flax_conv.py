"""What Flax's modules mean by their options, in the words of this library."""

from collections.abc import Sequence

from jaxcnn._axes import IntPerAxis, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import PADDING_NAMES, Padding, Pads, explicit_pads, reach

FLAX_PADDING_NAMES = (*PADDING_NAMES, "CIRCULAR", "REFLECT")
FLAX_TRANSPOSE_PADDING_NAMES = ("SAME", "VALID", "CIRCULAR")


def kernel_size_per_axis(kernel_size: object, x_shape: Sequence[int]) -> tuple[int, ...]:
    """The window of a module, which has to be written as one integer per axis.

    Raises:
        ShapeError: a bare int, or an input of fewer axes than the window and the channels need.

    >>> kernel_size_per_axis((3, 3), (8, 32, 32, 3))
    (3, 3)
    """
    window = window_per_axis(kernel_size, name="kernel_size")
    if len(x_shape) < len(window) + 1:
        raise ShapeError(
            f"kernel_size={window} wants inputs as (*batch, *spatial, channels) with {len(window)} spatial "
            f"axes, but they have shape {tuple(x_shape)}. Is the channel axis missing? Try x[..., None]."
        )
    return window


def flax_conv_padding(
    padding: Padding, padding_mode: str, window: Sequence[int], *, kernel_dilation: IntPerAxis
) -> tuple[Padding, str]:
    """``padding`` and ``padding_mode`` of the library from Flax's one argument.

    Flax's ``"CIRCULAR"`` and ``"REFLECT"`` pad as much as keeps the size at stride 1, whatever the stride is.

    Raises:
        ShapeError: a misspelt word, or a word that says what to pad with beside a ``padding_mode`` that does too.

    >>> flax_conv_padding("CIRCULAR", "zeros", (4,), kernel_dilation=(1,))
    (((1, 2),), 'circular')
    """
    if not isinstance(padding, str):
        return padding, padding_mode
    check_choice(padding, FLAX_PADDING_NAMES, name="padding")
    if padding in PADDING_NAMES:
        return padding, padding_mode
    if padding_mode not in ("zeros", padding.lower()):
        raise ShapeError(f"padding={padding!r} and padding_mode={padding_mode!r} contradict each other.")
    gaps = int_per_axis(kernel_dilation, len(window), name="kernel_dilation")
    spans = [reach(w, d) for w, d in zip(window, gaps, strict=True)]
    return tuple(((span - 1) // 2, span // 2) for span in spans), padding.lower()


def flax_transpose_pads(
    padding: Padding,
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: Sequence[int],
    kernel_dilation: Sequence[int],
    transpose_kernel: bool,
) -> Pads:
    """What a Flax ``ConvTranspose`` puts before and after its dilated input, before it convolves at stride 1.

    Counts are that already, where a transposed convolution elsewhere counts what its forward one would pad. With
    ``"VALID"`` a stride larger than the window leaves zeros at the end, so that the size is ``n*s + max(k - s, 0)``.
    ``"CIRCULAR"`` gives ``n*s`` positions of a period of ``n*s``, started where Flax starts it.

    Raises:
        ShapeError: a misspelt word, or counts for another number of axes.
        TypeError: a count that is not an integer.

    >>> flax_transpose_pads("VALID", (4,), (2,), strides=(3,), kernel_dilation=(1,), transpose_kernel=False)
    ((1, 2),)
    """
    if not isinstance(padding, str):
        return explicit_pads(padding, len(window))
    check_choice(padding, FLAX_TRANSPOSE_PADDING_NAMES, name="padding")
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
