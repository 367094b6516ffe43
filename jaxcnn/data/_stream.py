"""Data that does not fit into memory: read and decoded by threads during training, in a predetermined order."""

import dataclasses
import itertools
import logging
import math
import os
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._geometry import Resize
from jaxcnn._reprs import short_repr
from jaxcnn.data._arrays import CLASSES, Fields, check_class_names, check_fields, without_class
from jaxcnn.data._decode import MOST_THREADS

log = logging.getLogger("jaxcnn")

# The most examples, and the most bytes of them, that a thread reads at a time. Passing on single images costs more than
# decoding small ones. At least two batches are read ahead, so that these limits matter for small batches.
CHUNK = 16
CHUNK_BYTES = 4 * 2**20
MAX_CORRUPT = 100
NAMED = 5


class Source(Protocol):
    """Examples that several threads may read at the same time, in any order."""

    def __len__(self) -> int:
        """The number of examples."""

    def name_of(self, index: int) -> str:
        """The name of an example in errors, such as the path of its file."""

    def read(self, index: int) -> Mapping[str, Any]:
        """The arrays of an example by name, of the same shapes and dtypes for all examples.

        Raises:
            ValueError: the example is damaged.
            OSError: it cannot be read.
        """


class Batch(NamedTuple):
    """The arrays of requested examples.

    Attributes:
        arrays: by name; the first axis is that of the examples.
        good: ``(n,)``, whether each example could be read.
    """

    arrays: dict[str, np.ndarray]
    good: np.ndarray


class StreamedSplit:
    """Examples that are read during training.

    An example that cannot be read is counted, named in a warning, and left out: training reads the next one in its
    place, evaluation skips it. So the examples depend only on the requested indices, and a resumed run reads the same
    examples.

    Args:
        source: where the examples come from.
        fields: the shape and the dtype of one example of each array, such as
            ``{"image": ((224, 224, 3), np.uint8), "label": ((), np.int32)}``.
        classes: the number of classes, where there is a ``label`` or a ``segmentation``, which is then less than this;
            in ``segmentation``, 255 is a pixel without a label.
        max_corrupt: the number of examples that may be unreadable; more are an error.

    Raises:
        TypeError: ``max_corrupt`` is not an integer.
        ValueError: there is no example or no field, or ``max_corrupt`` is negative.
    """

    def __init__(
        self,
        source: Source,
        *,
        fields: Mapping[str, tuple[tuple[int, ...], Any]],
        classes: int | None = None,
        max_corrupt: int = MAX_CORRUPT,
    ) -> None:
        if not len(source):
            raise ValueError("there is no example.")
        if not fields:
            raise ValueError("expected the shape and dtype of at least one array in fields.")
        max_corrupt = as_int(max_corrupt, name="max_corrupt")
        if max_corrupt < 0:
            raise ValueError(f"max_corrupt={max_corrupt} cannot be negative; 0 makes each bad example an error.")
        self.fields: Fields = {name: (tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in fields.items()}
        self._source, self._classes, self._max_corrupt = source, classes, max_corrupt
        self._corrupt: dict[int, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={dtype}{list(shape)}" for name, (shape, dtype) in self.fields.items())
        return f"StreamedSplit({len(self)} examples of {fields})"

    @property
    def corrupt(self) -> tuple[int, ...]:
        """The indices of the examples that could not be read so far."""
        return tuple(sorted(self._corrupt))

    def take(self, index: np.ndarray | Sequence[int] | slice) -> "StreamedSplit":
        """The split of some examples, which are still read during training.

        Args:
            index: an array of integers or of booleans, or a slice.

        Raises:
            TypeError: a single integer.
            IndexError: an index out of range, or of another dtype.
        """
        if not isinstance(index, slice) and np.ndim(index) != 1:
            raise TypeError(
                f"take: expected a list of integers or a slice, got {index!r}. One example is take([{index}])."
            )
        chosen = _Chosen(self._source, np.arange(len(self))[index])
        return StreamedSplit(chosen, fields=self.fields, classes=self._classes, max_corrupt=self._max_corrupt)

    def read(self, indices: Sequence[int] | np.ndarray, *, replace: bool = True) -> Batch:
        """The examples of some indices, read now.

        Args:
            indices: ``(n,)``, integers.
            replace: whether the next readable example replaces an unreadable one; otherwise the entries are zeros, and
                False in ``good``.

        Raises:
            ValueError: too many examples cannot be read, or an example has another dtype or shape than ``fields``.
        """
        arrays = {name: np.zeros((len(indices), *shape), dtype) for name, (shape, dtype) in self.fields.items()}
        good = np.zeros(len(indices), bool)
        for place, index in enumerate(map(int, indices)):
            for candidate in itertools.chain(range(index, len(self) if replace else index + 1), range(index)):
                found = self._read(candidate)
                if found is not None:
                    for name, array in arrays.items():
                        array[place] = found[name]
                    good[place] = True
                if found is not None or not replace:
                    break
        return Batch(arrays, good)

    def batches(
        self, indices: Callable[[int], np.ndarray], start: int, stop: int, *, replace: bool = True
    ) -> Generator[Batch]:
        """The batches of the steps from ``start`` to ``stop``, read ahead by Grain's threads.

        Args:
            indices: returns the indices of the examples of a step, the same number for each; called by threads.
            start: the first step.
            stop: the step after the last.
            replace: as for ``read``.
        """
        import grain  # takes a second, and only reading files requires it

        count = len(indices(start))
        chunk = self._chunk(count)
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
                arrays = {name: np.concatenate([piece.arrays[name] for piece in pieces]) for name in self.fields}
                yield Batch(arrays, np.concatenate([piece.good for piece in pieces]))
        finally:
            chunks.close()

    def _chunk(self, count: int) -> int:
        """The number of examples that a thread reads at a time, a divisor of the size of a batch."""
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.fields.values())
        chunk = math.gcd(count, CHUNK)  # a power of two
        while chunk > 1 and chunk * size > CHUNK_BYTES:
            chunk //= 2
        return chunk

    def _read(self, index: int) -> dict[str, np.ndarray] | None:
        """The arrays of an example; None where it cannot be read."""
        if index in self._corrupt:
            return None
        try:
            read = self._source.read(index)
        except (ValueError, OSError) as error:
            self._note(index, str(error))
            return None
        example = {name: np.asarray(value) for name, value in read.items()}
        if missing := [name for name in self.fields if name not in example]:
            raise ValueError(
                f"{self._source.name_of(index)} has no {missing[0]!r}, which the source promised, only "
                f"{', '.join(example)}."
            )
        for name, (shape, dtype) in self.fields.items():
            found = example[name]
            number = not shape and np.can_cast(found.dtype, dtype, "same_kind")  # such as an int for an int32
            if found.shape != shape or not (found.dtype == dtype or number):
                raise ValueError(
                    f"{self._source.name_of(index)} is {found.dtype} of shape {found.shape} in {name}, but the source "
                    f"promised {dtype} of shape {shape}."
                )
        for name in CLASSES:
            if self._classes is None or name not in self.fields or not np.issubdtype(example[name].dtype, np.integer):
                continue
            if (wrong := without_class(name, example[name], self._classes)) is not None:
                raise ValueError(
                    f"{self._source.name_of(index)} has the {name} {wrong}, but there are {self._classes} classes, 0 "
                    f"to {self._classes - 1}."
                )
        return example

    def _note(self, index: int, reason: str) -> None:
        with self._lock:
            if index in self._corrupt:
                return
            self._corrupt[index] = reason
            number = len(self._corrupt)
        if number > min(self._max_corrupt, len(self) - 1):
            worst = [self._source.name_of(index) for index in list(self._corrupt)[:NAMED]]
            named = ", ".join(worst) + (f" and {number - NAMED} more" if number > NAMED else "")
            if number == len(self):
                raise ValueError(
                    f"none of the examples can be read, {number} in all: {named}. The last: {reason} Repair them, or "
                    f"check that the source reads this kind of file."
                )
            raise ValueError(
                f"{number} example{'s' * (number > 1)} cannot be read, more than max_corrupt={self._max_corrupt}: "
                f"{named}. The last: {reason} Repair or remove them, or increase max_corrupt."
            )
        log.warning("left out (%d of at most %d): %s", number, self._max_corrupt, reason)


class _Chosen:
    """Some examples of a source."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def name_of(self, index: int) -> str:
        return self._source.name_of(int(self._indices[index]))

    def read(self, index: int) -> Mapping[str, Any]:
        return self._source.read(int(self._indices[index]))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StreamedDataset:
    """Splits that are read during training, for an ``Experiment`` in place of a ``Dataset``.

    Attributes:
        name: of the data set in reports.
        train: the training examples.
        test: the examples of the final evaluation.
        validation: examples that select settings and checkpoints.
        class_names: the name of class 0, of class 1, and so on; empty where there are no classes.
        clips: the number of consecutive examples that are clips of one video; ``hold_out`` keeps them together.
        fingerprint: identifies the data, so that a resumed run can refuse other data: a SHA-256 of the names and sizes
            of all files and of a sample of their content (of at most 256 files the first, middle and last 16 KiB). A
            change that keeps the size of a file and is outside of the sample is not detected.
        resize: how images of other sizes were brought to this one, ``"fit"`` or ``"cover"``; prediction does the same.
        licence: the terms under which the data may be used, if known.
        citation: the reference to cite.
        files: as in ``Dataset``.

    Raises:
        TypeError: class names that are not a tuple of strings.
        ValueError: splits whose arrays differ in name, dtype or shape, a class name given twice, or a number of
            ``clips`` that does not divide the number of examples.
    """

    name: str
    train: StreamedSplit
    test: StreamedSplit
    validation: StreamedSplit | None = None
    class_names: tuple[str, ...] = ()
    clips: int = 1
    fingerprint: str
    resize: Resize = "fit"
    licence: str = ""
    citation: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_class_names(self.name, self.class_names)
        check_fields(self.name, {which: split.fields for which, split in self.splits.items()})
        for which, split in self.splits.items():
            if as_int(self.clips, name="clips") < 1 or len(split) % self.clips:
                raise ValueError(
                    f"{self.name}: clips={self.clips} must be at least 1 and divide {len(split)}, the number of "
                    f"examples of the {which} split."
                )

    @property
    def splits(self) -> dict[str, StreamedSplit]:
        """The splits by name: ``train``, ``validation`` where there is one, ``test``."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of every ``image``."""
        fields = self.train.fields
        if "image" not in fields:
            there = ", ".join(map(repr, fields))
            raise ValueError(
                f"{self.name}: there is no array 'image', only {there}. The shape and the dtype of an example of each "
                f"array are in train.fields."
            )
        height, width, channels = fields["image"][0]
        return height, width, channels
