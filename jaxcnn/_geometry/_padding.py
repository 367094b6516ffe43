"""The grammar of ``padding``, for every function of the library.

``"VALID"``: no padding. ``"SAME"``: the output has ``ceil(size / stride)`` positions; of an odd number of zeros, the
extra zero is after. ``"SAME_LOWER"``: the same, with the extra zero before. ``"FULL"``: every position where window and
input overlap. ``"CAUSAL"``: all padding is before, so that no output depends on later input. Otherwise an int, one int
per axis, or one ``(before, after)`` per axis. Negative counts crop.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from jaxcnn._axes import as_size
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._symbolic import is_less, larger

Pads = tuple[tuple[int, int], ...]
PaddingName = Literal["VALID", "SAME", "SAME_LOWER", "FULL", "CAUSAL"]
PADDING_NAMES: tuple[PaddingName, ...] = get_args(PaddingName)
"""The names of paddings."""
PaddingCounts = int | Sequence[int] | Sequence[tuple[int, int]]
Padding = PaddingName | PaddingCounts

PaddingMode = Literal["zeros", "reflect", "edge", "circular"]
PADDING_MODES: tuple[PaddingMode, ...] = get_args(PaddingMode)
"""The modes that determine the values outside of the input."""


def reach(window: int, dilation: int = 1) -> int:
    """The number of input positions that a window spans: ``dilation * (window - 1) + 1``.

    >>> reach(3, dilation=2)
    5
    """
    return dilation * (window - 1) + 1


def dilated_size(size: int, dilation: int = 1) -> int:
    """The length of an axis after ``dilation - 1`` zeros are inserted between its entries; an empty axis stays empty.

    >>> dilated_size(3, 2)
    5
    """
    return dilation * (size - 1) + 1 if size != 0 else 0


def same_pads(size: int, window: int, *, stride: int = 1, dilation: int = 1, lower: bool = False) -> tuple[int, int]:
    """The padding before and after an axis for an output of ``ceil(size / stride)`` positions.

    Args:
        size: length of the axis.
        window: entries of the window.
        stride: step of the window.
        dilation: distance between the entries of the window.
        lower: whether an odd extra zero is before.

    >>> same_pads(5, 2), same_pads(5, 2, lower=True)
    ((0, 1), (1, 0))
    >>> same_pads(224, 7, stride=2)  # asymmetric, unlike PyTorch's padding=3
    (2, 3)
    """
    total = larger((size - 1) // stride * stride + reach(window, dilation) - size, 0)
    small, large = total // 2, total - total // 2
    return (large, small) if lower else (small, large)


def pads_per_axis(
    padding: Padding,
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Pads:
    """``padding`` in any of its forms as one ``(before, after)`` per axis.

    Raises:
        ShapeError: a sequence whose length is not the number of axes.
        TypeError: an entry that is not an integer.
        ValueError: an unknown name.

    >>> pads_per_axis("SAME", (7, 7), (3, 4), strides=(2, 2), dilation=(1, 1))
    ((1, 1), (1, 2))
    >>> pads_per_axis((1, 2), (7, 7), (3, 3), strides=(1, 1), dilation=(1, 1))
    ((1, 1), (2, 2))
    """
    axes = list(zip(sizes, window, strides, dilation, strict=True))
    if isinstance(padding, str):
        check_choice(padding, PADDING_NAMES, name="padding")
        if padding == "VALID":
            return tuple((0, 0) for _ in axes)
        if padding == "FULL":
            return tuple((reach(w, d) - 1, reach(w, d) - 1) for _, w, _, d in axes)
        if padding == "CAUSAL":
            return tuple((reach(w, d) - 1, 0) for _, w, _, d in axes)
        lower = padding == "SAME_LOWER"
        return tuple(same_pads(n, w, stride=s, dilation=d, lower=lower) for n, w, s, d in axes)
    return explicit_pads(padding, len(axes))


def explicit_pads(padding: PaddingCounts, ndim: int) -> Pads:
    """Counts as one ``(before, after)`` per axis, from an int, one int per axis, or pairs.

    Raises:
        ShapeError: a sequence whose length is not the number of axes; the message shows the possible readings.
        TypeError: an entry that is neither an integer nor a pair of integers.

    >>> explicit_pads(1, 2), explicit_pads(((0, 1),), 1)
    (((1, 1), (1, 1)), ((0, 1),))
    """
    if not hasattr(padding, "__iter__"):
        count = as_size(padding, name="padding")
        return ((count, count),) * ndim
    entries = tuple(padding)  # type: ignore[arg-type]
    if len(entries) != ndim:
        raise ShapeError(
            f"padding={entries} has {len(entries)} entries for {ndim} spatial axes. {_readings(entries, ndim)}"
        )
    pads = []
    for entry in entries:
        if hasattr(entry, "__iter__") and not isinstance(entry, str):
            pair = tuple(as_size(count, name="padding") for count in entry)
            if len(pair) != 2:
                raise ShapeError(f"padding={entries} holds {entry!r}, which is not a pair (before, after).")
            pads.append((pair[0], pair[1]))
        else:
            count = as_size(entry, name="padding")
            pads.append((count, count))
    return tuple(pads)


def _readings(entries: tuple[object, ...], ndim: int) -> str:
    """Advice for a sequence of another length than the number of axes."""
    if len(entries) == 2 and all(isinstance(entry, int) for entry in entries):
        before, after = entries
        pairs = ", ".join([f"({before}, {after})"] * ndim)
        return f"For {before} before and {after} after on every axis write ({pairs}{',' if ndim == 1 else ''})."
    return "Write an integer, one integer per axis, or one (before, after) per axis."


def output_size(
    size: int,
    window: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    axis: int = 0,
) -> int:
    """The number of positions of a window on one axis: ``(size + before + after - reach) // stride + 1``.

    Raises:
        ShapeError: the window is larger than the padded input.

    >>> output_size(7, 3, stride=2)
    3
    """
    padded = size + sum(pads)
    span = reach(window, dilation)
    if is_less(padded, span):
        gaps = f", {span} with dilation {dilation}" if dilation > 1 else ""
        raise ShapeError(
            f"on spatial axis {axis} the window of {window}{gaps} is larger than the input of {size} "
            f"with padding {pads} ({padded} in all), so the output would be empty. "
            f'Pad more (padding="SAME"), or take a smaller window.'
        )
    return (padded - span) // stride + 1
