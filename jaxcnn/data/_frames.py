"""The frames of a video: their order, and which of them are read."""

import dataclasses
import re
from pathlib import Path

from jaxcnn._axes import as_int


def evenly_spaced(count: int, frames: int) -> list[int]:
    """The indices of ``frames`` of ``count`` frames, from the first to the last, halves rounded up.

    Index ``i`` is ``floor(i (count - 1) / (frames - 1) + 1/2)``; where ``frames > count``, some are repeated.

    >>> evenly_spaced(10, 4), evenly_spaced(2, 3), evenly_spaced(5, 1)
    ([0, 3, 6, 9], [0, 1, 1], [0])
    """
    last, steps = count - 1, max(frames - 1, 1)
    return [(2 * index * last + steps) // (2 * steps) for index in range(frames)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clips:
    """Which frames of each video are read, as clips of one length.

    Attributes:
        frames: number of frames of a clip.
        spacing: distance between two frames of a clip, in frames of the video; None spreads them over the whole video.
        count: number of clips of each video. Their starts are evenly spaced. A single clip is taken from the middle.

    Raises:
        ValueError: a number below 1, or several clips of the whole video, which would be equal.
        TypeError: a number that is not an integer.
    """

    frames: int
    spacing: int | None = None
    count: int = 1

    def __post_init__(self) -> None:
        given = {"frames": self.frames, "clips": self.count}
        if self.spacing is not None:
            given["spacing"] = self.spacing
        for name, value in given.items():
            if as_int(value, name=name) < 1:
                raise ValueError(f"{name}={value} must be at least 1.")
        if self.spacing is None and self.count > 1:
            raise ValueError(
                f"clips={self.count} would be equal, since each has frames of the whole video. Set the distance of "
                f"frames, such as spacing=2."
            )

    def places(self, count: int, clip: int) -> list[int]:
        """The indices of the frames of a clip in a video of ``count`` frames; beyond its end, the last is repeated.

        >>> Clips(frames=3).places(9, 0), Clips(frames=3, spacing=2).places(9, 0)
        ([0, 4, 8], [2, 4, 6])
        >>> [Clips(frames=3, spacing=2, count=2).places(9, clip) for clip in range(2)]
        [[0, 2, 4], [4, 6, 8]]
        """
        if self.spacing is None:
            return evenly_spaced(count, self.frames)
        latest = max(count - 1 - (self.frames - 1) * self.spacing, 0)
        start = latest // 2 if self.count == 1 else evenly_spaced(latest + 1, self.count)[clip]
        return [min(start + index * self.spacing, count - 1) for index in range(self.frames)]


def by_number(file: Path) -> list[tuple[int, str]]:
    """The parts of a name, with numbers in their order: frame 2 is before frame 10.

    >>> sorted([Path("frame10.png"), Path("frame2.png")], key=by_number)[0].name
    'frame2.png'
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]
