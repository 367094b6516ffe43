"""The positions of the input that padding other than zeros copies, as runs."""

from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry._padding import PADDING_MODES
from jaxcnn._symbolic import is_less, is_symbolic, larger, smaller

Run = tuple[int, int, int]


def boundary_position(position: int, size: int, padding_mode: str) -> int:
    """The position of an axis whose entry pads a position outside of the axis.

    ``"reflect"`` mirrors about the last entry without repeating it, ``"edge"`` repeats the last entry, ``"circular"``
    wraps around. Positions may be at any distance from the axis.

    >>> [boundary_position(i, 4, "reflect") for i in range(-3, 9)]
    [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    """
    if padding_mode == "edge":
        return min(max(position, 0), size - 1)
    if padding_mode == "circular":
        return position % size
    period = max(2 * (size - 1), 1)
    folded = position % period
    return min(folded, period - folded) if size > 1 else 0


def boundary_runs(size: int, pads: tuple[int, int], *, padding_mode: str) -> list[Run]:
    """A padded axis as runs ``(start, step, count)`` of the input's positions, the step being 1, -1 or 0.

    Raises:
        ShapeError: an empty axis, which has no entries to copy, or a symbolic size that may be less than the padding.
        ValueError: an unknown ``padding_mode``.

    >>> boundary_runs(4, (2, 1), padding_mode="reflect")  # 2 1 | 0 1 2 3 | 2
    [(2, -1, 3), (1, 1, 3), (2, 0, 1)]
    >>> boundary_runs(4, (2, -1), padding_mode="circular")
    [(2, 1, 2), (0, 1, 3)]
    """
    check_choice(padding_mode, PADDING_MODES[1:], name="padding_mode")
    if size == 0:
        raise ShapeError(f"padding_mode={padding_mode!r} cannot pad an empty axis, which has no entries to copy.")
    if is_symbolic(size):
        return _runs_once(size, pads, padding_mode)
    before, after = pads
    positions = [boundary_position(i, size, padding_mode) for i in range(-before, size + after)]
    runs: list[Run] = []
    while positions:
        step = positions[1] - positions[0] if len(positions) > 1 and abs(positions[1] - positions[0]) <= 1 else 0
        count = 1
        while count < len(positions) and positions[count] - positions[count - 1] == step:
            count += 1
        runs.append((positions[0], step, count))
        positions = positions[count:]
    return runs


def _runs_once(size: int, pads: tuple[int, int], padding_mode: str) -> list[Run]:
    """The runs if neither side is padded by more than the length of the axis, so that they do not depend on it."""
    before, after = (larger(count, 0) for count in pads)
    first, last = larger(-pads[0], 0), size - 1 + smaller(pads[1], 0)
    least = 1 if padding_mode == "edge" else larger(before, after) + (padding_mode == "reflect")
    if not is_less(least - 1, size):
        raise ShapeError(
            f"padding_mode={padding_mode!r} with padding {pads} requires an axis of at least {least} entries, "
            f'and {size} may be less. Pass a constraint to jax.export.symbolic_shape, such as "{size} >= 8".'
        )
    start, step, end = {
        "edge": (0, 0, size - 1),
        "circular": (size - before, 1, 0),
        "reflect": (before, -1, size - 2),
    }[padding_mode]
    runs = [(start, step, before), (first, 1, last - first + 1), (end, step, after)]
    return [run for run in runs if run[2] != 0]
