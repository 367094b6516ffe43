"""Clips of a digit that moves over a photograph, in a direction that no single frame shows."""

import math
import numbers
from typing import Literal

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._errors import check_choice
from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._scenes import check_sources, enlarge, write

# Names of the directions, and steps along the columns and the rows.
DIRECTIONS = {
    "right": (1, 0),
    "down right": (1, 1),
    "down": (0, 1),
    "down left": (-1, 1),
    "left": (-1, 0),
    "up left": (-1, -1),
    "up": (0, -1),
    "up right": (1, -1),
}
SPEEDS = (1.0, 2.0)  # pixels a frame
JITTER = 2
TASKS = ("direction", "digit_and_direction")


def moving_digits(
    digits: Dataset,
    photographs: Dataset,
    *,
    train_count: int,
    test_count: int,
    frames: int = 12,
    size: int = 32,
    drift: float = 1.0,
    task: Literal["direction", "digit_and_direction"] = "direction",
    seed: int = 0,
) -> Dataset:
    """Clips in which a digit moves in one of eight directions over a photograph that moves as well.

    The digit has one colour in a clip, an opacity of 60 to 100 %, and a speed of 1 to 2 pixels a frame. In the frame
    ``frames // 2`` it is within 2 pixels of the middle, wherever it moves: this frame does not show the direction.
    The photograph moves at a constant velocity in any direction. Positions are rounded to pixels; parts outside of the
    frame are cut off. Training clips are made of training digits and training photographs, and test clips of test
    digits and test photographs. If both sets have a validation split, as many validation clips as test clips
    are made of these.

    The arrays of a split are ``video`` ``(clips, frames, size, size, 3)``, uint8, and ``label``.

    Args:
        digits: grey images of light ink, such as MNIST's.
        photographs: grey or colour; their labels do not matter.
        train_count: number of training clips.
        test_count: number of test clips.
        frames: of a clip.
        size: height and width of a frame, at least those of a digit.
        drift: the largest speed of the photograph, in pixels a frame; 0 keeps it still.
        task: ``"direction"`` has eight classes; ``"digit_and_direction"`` has eight for each digit.
        seed: of everything random here.

    Raises:
        ValueError: digits that are not grey, photographs that are neither grey nor colour, a frame smaller than a
            digit, counts below 1, a negative drift or seed, or an unknown task.
        TypeError: something else than data sets and integers.

    >>> from jaxcnn.data._load import load
    >>> digits = load("digits", image_size=8)
    >>> clips = moving_digits(digits, digits, train_count=3, test_count=2, frames=5, size=16)
    >>> clips.train["video"].shape, clips.class_names[:3]
    ((3, 5, 16, 16, 3), ('right', 'down right', 'down'))
    """
    check_choice(task, TASKS, name="task")
    check_sources(digits, photographs, size=size, seed=seed)
    for name, count in (("train_count", train_count), ("test_count", test_count), ("frames", frames)):
        if as_int(count, name=name) < 1:
            raise ValueError(f"{name}={count} must be at least 1.")
    if not isinstance(drift, numbers.Real) or not 0 <= drift < math.inf:
        raise ValueError(f"drift={drift!r} must be a number of pixels of at least 0.")

    def clips(part: str, count: int, stream: int) -> Split:
        rng = np.random.default_rng([seed, stream])
        return _clips(digits.splits[part], photographs.splits[part], count, frames, size, drift, task, rng)

    both_validate = digits.validation is not None and photographs.validation is not None
    names = tuple(DIRECTIONS)
    if task == "digit_and_direction":
        names = tuple(f"{digit} {direction}" for digit in digits.class_names for direction in names)
    return Dataset(
        name=f"moving {digits.name} over {photographs.name}",
        train=clips("train", train_count, 0),
        test=clips("test", test_count, 1),
        validation=clips("validation", test_count, 2) if both_validate else None,
        class_names=names,
        licence="; ".join(part for part in (digits.licence, photographs.licence) if part),
        citation="\n".join(part for part in (digits.citation, photographs.citation) if part),
    )


def _clips(
    digits: Split,
    photographs: Split,
    count: int,
    frames: int,
    size: int,
    drift: float,
    task: str,
    rng: np.random.Generator,
) -> Split:
    times = np.arange(frames) - frames // 2
    margin = math.ceil(drift * frames / 2)
    steps = list(DIRECTIONS.values())
    video = np.empty((count, frames, size, size, 3), np.uint8)
    labels = np.empty(count, np.int32)
    scratch = np.zeros((size, size), np.int32)
    for index, clip in enumerate(video):
        photograph = photographs["image"][rng.integers(0, len(photographs))]
        wide = enlarge(photograph[None], size + 2 * margin)[0]
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, drift)
        offsets = margin + np.rint(speed * times[:, None] * [np.sin(angle), np.cos(angle)]).astype(int)
        chosen, direction = rng.integers(0, len(digits)), rng.integers(0, len(steps))
        across, down = steps[direction] / np.hypot(*steps[direction]) * rng.uniform(*SPEEDS)
        middle = size // 2 + rng.integers(-JITTER, JITTER + 1, 2)
        places = middle + np.rint(times[:, None] * [down, across]).astype(int)
        colour = rng.integers(0, 2**32)  # the same ink and colour in every frame
        for frame, (row, column), place in zip(clip, offsets, places, strict=True):
            frame[:] = wide[row : row + size, column : column + size]
            write(frame, scratch, digits["image"][chosen, :, :, 0], 1, place, np.random.default_rng(colour))
        labels[index] = direction + (len(steps) * digits["label"][chosen] if task == TASKS[1] else 0)
    return Split(video=video, label=labels)
