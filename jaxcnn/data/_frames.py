"""The frames of a video: their order, and which of them represent it."""

import re
from pathlib import Path


def evenly_spaced(count: int, frames: int) -> list[int]:
    """The indices of ``frames`` of ``count`` frames, from the first to the last, halves rounded up.

    Index ``i`` is ``floor(i (count - 1) / (frames - 1) + 1/2)``; where ``frames > count``, some are repeated.

    >>> evenly_spaced(10, 4), evenly_spaced(2, 3), evenly_spaced(5, 1)
    ([0, 3, 6, 9], [0, 1, 1], [0])
    """
    last, steps = count - 1, max(frames - 1, 1)
    return [(2 * index * last + steps) // (2 * steps) for index in range(frames)]


def by_number(file: Path) -> list[tuple[int, str]]:
    """The parts of a name, with numbers in their order: frame 2 is before frame 10.

    >>> sorted([Path("frame10.png"), Path("frame2.png")], key=by_number)[0].name
    'frame2.png'
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]
