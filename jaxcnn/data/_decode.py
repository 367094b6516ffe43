"""Many images at once: decoded by several threads, and put into one array where their shapes allow it."""

import os
from collections.abc import Callable, Sequence

import numpy as np

CHUNK = 128
MOST_THREADS = 16


def decode_all(decode: Callable[[int, int], Sequence[np.ndarray]], count: int) -> list[np.ndarray]:
    """The images ``decode(start, stop)`` of all chunks from 0 to ``count``, in order, decoded in parallel by Grain.

    Pillow decodes without the GIL, so threads suffice. A thread decodes a chunk at a time, because passing on single
    images costs more than decoding small ones.
    """
    import grain  # takes a second, and only reading files requires it

    chunks = grain.MapDataset.range(0, count, CHUNK).map(lambda start: decode(start, min(start + CHUNK, count)))
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)
    return [image for chunk in chunks.to_iter_dataset(options) for image in chunk]


def stack(images: Sequence[np.ndarray], name_of: Callable[[int], str]) -> np.ndarray:
    """Images ``(height, width, channels)`` as one array; grey ones become coloured where others are.

    Args:
        images: the images, at least one.
        name_of: the name of an image in error messages, by its index.

    Raises:
        ValueError: images of different sizes; names two of them.

    >>> stack([np.zeros((2, 2, 1), np.uint8), np.ones((2, 2, 3), np.uint8)], str).shape
    (2, 2, 2, 3)
    """
    size = images[0].shape[:2]
    for place, image in enumerate(images):
        if image.shape[:2] != size:
            first, other = (f"{side[0]} high and {side[1]} wide" for side in (size, image.shape[:2]))
            raise ValueError(
                f"images must have one size, but {name_of(0)} is {first}, and {name_of(place)} is {other}. "
                f"Give the size to bring them to, such as image_size=32; on the command line, --set image_size=32."
            )
    channels = max(image.shape[2] for image in images)
    stacked = np.empty((len(images), *size, channels), np.uint8)
    for place, image in enumerate(images):
        stacked[place] = image  # one channel spreads over three
    return stacked
