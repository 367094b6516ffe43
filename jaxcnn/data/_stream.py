"""Images that do not fit into memory: read and decoded by threads while they are needed, in an order known before."""

import dataclasses
import itertools
import logging
import math
import os
import threading
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from jaxcnn._reprs import short_repr
from jaxcnn.data._decode import MOST_THREADS

log = logging.getLogger("jaxcnn")

# The most images that a thread decodes at a time; to hand over single ones costs more than to decode small ones.
CHUNK = 16
MAX_CORRUPT = 100
NAMED = 5


class Source(Protocol):
    """Labelled images that many threads may read, in any order."""

    def __len__(self) -> int:
        """How many there are."""

    def name_of(self, index: int) -> str:
        """The name of an image in errors, such as its path."""

    def read(self, index: int) -> tuple[np.ndarray, int]:
        """An image, uint8 ``(height, width, channels)``, the same shape for all, and its label.

        Raises:
            ValueError: the image is damaged.
            OSError: it cannot be read.
        """


class Batch(NamedTuple):
    """Images ``(n, height, width, channels)``, their labels ``(n,)``, and which of them could be read ``(n,)``."""

    images: np.ndarray
    labels: np.ndarray
    good: np.ndarray


class StreamedSplit:
    """Labelled images that are read when they are needed.

    An image that cannot be read is counted, named in a warning, and left out: training reads the next one in its place,
    evaluation does without it. So what is read depends on nothing but the indices that are asked for, and a run that
    resumes reads what it would have read.

    Args:
        source: where the images come from.
        image_shape: ``(height, width, channels)`` of every image.
        classes: how many there are; labels are smaller.
        max_corrupt: the number of images that may be unreadable; more are an error.

    Raises:
        ValueError: there is no image, or ``max_corrupt`` is negative.
    """

    def __init__(
        self, source: Source, *, image_shape: tuple[int, int, int], classes: int, max_corrupt: int = MAX_CORRUPT
    ) -> None:
        if not len(source):
            raise ValueError("there is no image.")
        if max_corrupt < 0:
            raise ValueError(f"max_corrupt={max_corrupt} cannot be negative; 0 makes each bad image an error.")
        self.image_shape, self.by_pixel = image_shape, False
        self._source, self._classes, self._max_corrupt = source, classes, max_corrupt
        self._corrupt: dict[int, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def __repr__(self) -> str:
        return f"StreamedSplit({len(self)} images of {self.image_shape})"

    @property
    def corrupt(self) -> tuple[int, ...]:
        """The images so far that could not be read."""
        return tuple(sorted(self._corrupt))

    def read(self, indices: Sequence[int] | np.ndarray, *, replace: bool = True) -> Batch:
        """The images of some indices, read now.

        Args:
            indices: ``(n,)``, integers.
            replace: whether the next readable image replaces an unreadable one; else that is black, and False
                in ``good``.

        Raises:
            ValueError: too many images cannot be read, or an image or label is not of the kind promised.
        """
        images = np.zeros((len(indices), *self.image_shape), np.uint8)
        labels = np.zeros(len(indices), np.int32)
        good = np.zeros(len(indices), bool)
        for place, index in enumerate(map(int, indices)):
            for candidate in itertools.chain(range(index, len(self) if replace else index + 1), range(index)):
                found = self._read(candidate)
                if found is not None:
                    images[place], labels[place] = found
                    good[place] = True
                if found is not None or not replace:
                    break
        return Batch(images, labels, good)

    def batches(
        self, indices: Callable[[int], np.ndarray], start: int, stop: int, *, replace: bool = True
    ) -> Generator[Batch]:
        """The batches of the steps from ``start`` to ``stop``, read ahead by Grain's threads.

        Args:
            indices: gives the images of a step; as many for each; called by threads.
            start: the first step.
            stop: the step after the last.
            replace: as for ``read``.
        """
        import grain  # takes a second, which only those pay who read files

        count = len(indices(start))
        chunk = math.gcd(count, CHUNK)
        parts = count // chunk

        def read(position: int) -> Batch:
            step, part = divmod(position, parts)
            return self.read(indices(step)[part * chunk : (part + 1) * chunk], replace=replace)

        threads = min(MOST_THREADS, os.cpu_count() or 1)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * max(threads, parts))
        chunks = iter(grain.MapDataset.range(start * parts, stop * parts).map(read).to_iter_dataset(options))
        try:
            for _ in range(start, stop):
                pieces = list(itertools.islice(chunks, parts))
                yield Batch(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True)))
        finally:
            chunks.close()

    def _read(self, index: int) -> tuple[np.ndarray, int] | None:
        """An image and its label; None where it cannot be read."""
        if index in self._corrupt:
            return None
        try:
            image, label = self._source.read(index)
        except (ValueError, OSError) as error:
            self._note(index, str(error))
            return None
        if image.shape != self.image_shape or image.dtype != np.uint8:
            raise ValueError(
                f"{self._source.name_of(index)} is {image.dtype} of shape {image.shape}, but the source promised uint8 "
                f"of shape {self.image_shape}."
            )
        if not 0 <= label < self._classes:
            raise ValueError(
                f"{self._source.name_of(index)} has the label {label}, but there are {self._classes} classes, 0 to "
                f"{self._classes - 1}."
            )
        return image, label

    def _note(self, index: int, reason: str) -> None:
        with self._lock:
            if index in self._corrupt:
                return
            self._corrupt[index] = reason
            number = len(self._corrupt)
        if number > min(self._max_corrupt, len(self) - 1):
            names = [self._source.name_of(index) for index in list(self._corrupt)[:NAMED]]
            more = f" and {number - NAMED} more" if number > NAMED else ""
            raise ValueError(
                f"{number} images cannot be read, more than max_corrupt={self._max_corrupt}: {', '.join(names)}{more}. "
                f"The last: {reason} Mend or remove them, or allow more."
            )
        log.warning("left out (%d of at most %d): %s", number, self._max_corrupt, reason)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StreamedDataset:
    """Training and test images that are read when they are needed, for an ``Experiment`` in place of a ``Dataset``.

    Attributes:
        name: what the data set is called in reports.
        train: images to learn from.
        test: images to be judged by.
        class_names: the name of label 0, of label 1, and so on.
        fingerprint: identifies the images, so that a resumed run can refuse others: a SHA-256 of the names and sizes of
            all files and of a sample of their content (of at most 256 files the first, middle and last 16 KiB). A
            change that keeps the size of a file and is outside of the sample is not seen.
        resize: how images of other sizes were brought to this one, ``"fit"`` or ``"cover"``; prediction does the same.
        licence: under what terms the images may be used, where that is known.
        citation: whom to cite.

    Raises:
        ValueError: training and test images of different shapes.
    """

    name: str
    train: StreamedSplit
    test: StreamedSplit
    class_names: tuple[str, ...]
    fingerprint: str
    resize: str = "fit"
    licence: str = ""
    citation: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if self.train.image_shape != self.test.image_shape:
            raise ValueError(
                f"{self.name}: training images are {self.train.image_shape} but test images are "
                f"{self.test.image_shape} (height, width, channels); bring them to one shape."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of every image."""
        return self.train.image_shape
