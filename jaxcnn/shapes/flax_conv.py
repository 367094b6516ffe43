"""What Flax's modules mean by their options, in the words of this library."""

from collections.abc import Sequence

from jaxcnn.shapes.axes import window_per_axis
from jaxcnn.shapes.errors import ShapeError, check_choice
from jaxcnn.shapes.padding import PADDING_NAMES, Padding, reach

FLAX_PADDING_NAMES = (*PADDING_NAMES, "CIRCULAR", "REFLECT")


def kernel_size_per_axis(kernel_size: object, x_shape: Sequence[int], *, who: str) -> tuple[int, ...]:
    """The window of a module, which has to be written as one integer per axis.

    Raises:
        ShapeError: a bare int, or an input of fewer axes than the window and the channels need.

    >>> kernel_size_per_axis((3, 3), (8, 32, 32, 3), who="Conv")
    (3, 3)
    """
    window = window_per_axis(kernel_size, who=who, name="kernel_size")
    if len(x_shape) < len(window) + 1:
        raise ShapeError(
            f"{who}: kernel_size={window} wants inputs as (*batch, *spatial, channels) with {len(window)} spatial "
            f"axes, but they have shape {tuple(x_shape)}. Is the channel axis missing? Try x[..., None]."
        )
    return window


def flax_conv_padding(
    padding: Padding, padding_mode: str, window: Sequence[int], *, kernel_dilation: Sequence[int], who: str
) -> tuple[Padding, str]:
    """``padding`` and ``padding_mode`` of the library from Flax's one argument.

    Flax's ``"CIRCULAR"`` and ``"REFLECT"`` pad as much as keeps the size at stride 1, whatever the stride is.

    Raises:
        ShapeError: a misspelt word, or a word that says what to pad with beside a ``padding_mode`` that does too.

    >>> flax_conv_padding("CIRCULAR", "zeros", (4,), kernel_dilation=(1,), who="Conv")
    (((1, 2),), 'circular')
    """
    if not isinstance(padding, str):
        return padding, padding_mode
    check_choice(padding, FLAX_PADDING_NAMES, who=who, name="padding")
    if padding in PADDING_NAMES:
        return padding, padding_mode
    if padding_mode not in ("zeros", padding.lower()):
        raise ShapeError(f"{who}: padding={padding!r} and padding_mode={padding_mode!r} contradict each other.")
    spans = [reach(w, d) for w, d in zip(window, kernel_dilation, strict=True)]
    return tuple(((span - 1) // 2, span // 2) for span in spans), padding.lower()
