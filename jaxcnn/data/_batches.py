"""The indices of the images of batches; the images are not copied.

The training step draws the order of training images on the device; the functions here require no randomness.
"""

from collections.abc import Iterator

import numpy as np

from jaxcnn._axes import as_int


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Full batches in ``count`` images: ``count // batch_size``; the rest of an epoch is left out.

    Raises:
        TypeError: a number that is not an integer.
        ValueError: no image, or a batch that does not fit.

    >>> steps_per_epoch(1437, 64)
    22
    """
    _check(count, batch_size)
    if batch_size > count:
        raise ValueError(f"a batch of {batch_size} does not fit {count} images; take a batch_size of at most {count}.")
    return count // batch_size


def eval_batches(count: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices ``(batch_size,)`` and mask ``(batch_size,)`` of the batches that together show every image once.

    The last batch is filled up with image 0, where the mask is False, so that all batches have one shape and compile
    once. A mean over the masked results then counts every one of the ``count`` images exactly once.

    Raises:
        TypeError: a number that is not an integer.
        ValueError: no image, or no room in a batch.

    >>> [(index.tolist(), mask.tolist()) for index, mask in eval_batches(3, 2)]
    [([0, 1], [True, True]), ([2, 0], [True, False])]
    """
    _check(count, batch_size)
    return _eval_batches(count, batch_size)


def _eval_batches(count: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The generator of ``eval_batches``, a separate function so that mistakes are refused at the call."""
    for start in range(0, count, batch_size):
        index = np.arange(start, start + batch_size, dtype=np.int32)
        mask = index < count
        yield np.where(mask, index, np.int32(0)), mask


def _check(count: int, batch_size: int) -> None:
    for name, value in (("count", count), ("batch_size", batch_size)):
        if as_int(value, name=name) < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
