"""Examples in memory: named arrays with a common leading axis, and the splits of a data set."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn._geometry import Resize
from jaxcnn._hints import did_you_mean
from jaxcnn._reprs import html_table, short_repr, short_text

# The shape and the dtype of one example of each array of a split.
Fields = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]

# Arrays of this name hold classes, which are numbers from 0 to ``len(class_names) - 1``.
CLASSES = ("label", "segmentation")
# Of a pixel without a label in ``segmentation``, as in Pascal VOC's label maps.
IGNORED = 255
# The dtypes that JAX substitutes unless 64 bits are enabled; a split converts its arrays to them.
_NARROW = {"int64": np.int32, "uint64": np.uint32, "float64": np.float32, "complex128": np.complex64}
_NARROW |= {"float128": np.float32, "complex256": np.complex64}


class Split:
    """Examples in memory: NumPy arrays by name, whose first axis counts the examples.

    The names are those of tensorflow-datasets: ``image``, ``label``, ``segmentation`` (a class for each pixel, 255 for
    a pixel without a label), ``boxes``, ``video``. Any name, dtype and rank is allowed. An array whose size differs
    between examples is padded and accompanied by a mask. Arrays of 64 bits are held in 32 bits, and all arrays in the
    byte order of the machine.

    Args:
        arrays: at least one array, all of one length.

    Raises:
        TypeError: something that is not a NumPy array, an array of objects, texts, times or records, or a masked one.
        ValueError: no array, an array without a first axis, no example, arrays of different lengths, or a number that
            does not fit into 32 bits.

    >>> split = Split(image=np.zeros((2, 28, 28, 1), np.uint8), label=np.array([7, 3]))
    >>> split
    Split(image=uint8[2,28,28,1], label=int32[2])
    >>> len(split), split["label"]
    (2, array([7, 3], dtype=int32))
    """

    def __init__(self, **arrays: np.ndarray) -> None:
        if not arrays:
            raise ValueError("expected at least one array by name, such as Split(image=images, label=labels).")
        self.arrays: dict[str, np.ndarray] = {name: _checked(name, array) for name, array in arrays.items()}
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if len(set(lengths.values())) > 1:
            each = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise ValueError(f"expected arrays with one entry for each example, all of one length, but {each}.")
        if not len(self):
            raise ValueError("there is no example: every array has the length 0.")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            there = ", ".join(map(repr, self.arrays))
            raise ValueError(f"Split: there is no array {name!r}, only {there}. {did_you_mean(name, self.arrays)}")
        return self.arrays[name]

    def __repr__(self) -> str:
        return f"Split({', '.join(f'{name}={short_text(array)}' for name, array in self.arrays.items())})"

    @property
    def fields(self) -> Fields:
        """The shape and the dtype of one example of each array."""
        return {name: (array.shape[1:], array.dtype) for name, array in self.arrays.items()}

    def take(self, index: np.ndarray | Sequence[int] | slice) -> "Split":
        """The split of some examples: ``array[index]`` of each array.

        Args:
            index: an array of integers or of booleans, or a slice.

        Raises:
            TypeError: a single integer, which would remove the axis of examples.

        >>> Split(label=np.arange(5)).take(slice(1, 3))["label"]
        array([1, 2], dtype=int32)
        """
        if not isinstance(index, slice) and np.ndim(index) != 1:
            raise TypeError(
                f"take: expected a list of integers or a slice, got {index!r}. One example is take([{index}])."
            )
        return Split(**{name: array[index] for name, array in self.arrays.items()})

    def replace(self, **arrays: np.ndarray) -> "Split":
        """The split with some arrays replaced or added.

        >>> Split(label=np.arange(2)).replace(label=np.array([5, 6]))["label"]
        array([5, 6], dtype=int32)
        """
        return Split(**{**self.arrays, **arrays})


def _checked(name: str, array: Any) -> np.ndarray:
    """The array in at most 32 bits.

    Raises:
        TypeError: it is no NumPy array of numbers.
        ValueError: it has no first axis, or an integer that does not fit.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(array).__name__}; try np.asarray.")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost. Give {name}.filled(...), and the mask.")
    # V: bfloat16 and other small floats, but also structured arrays
    if array.dtype.kind not in "biufcV" or array.dtype.type is np.void:
        raise TypeError(f"{name} must be an array of numbers, not of dtype {array.dtype}.")
    if not array.ndim:
        raise ValueError(f"{name} must have one entry for each example, but its shape is ().")
    if not array.dtype.isnative:  # as files of other machines have them; JAX refuses these
        array = array.astype(array.dtype.newbyteorder("="))
    narrow = _NARROW.get(array.dtype.name)
    if narrow is None:
        return array
    if np.issubdtype(narrow, np.integer) and array.size:
        low, high, most = int(array.min()), int(array.max()), np.iinfo(narrow)
        if low < most.min or high > most.max:
            raise ValueError(
                f"integers are held in 32 bits, {most.min} to {most.max}, but {name} has the values {low} to {high}."
            )
    try:
        with np.errstate(over="raise"):
            return array.astype(narrow)
    except FloatingPointError:
        greatest = np.finfo(np.float32).max
        raise ValueError(f"floats are held in 32 bits, up to {greatest:.3g}, but {name} has larger numbers.") from None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """The splits of a data set, with the names of its classes.

    Attributes:
        name: of the data set in reports.
        train: the training examples.
        test: the examples of the final evaluation.
        validation: examples that select settings and checkpoints; see ``hold_out``.
        class_names: the name of class 0, of class 1, and so on; empty where there are no classes.
        clips: the number of examples that are clips of one video; ``hold_out`` refuses more than 1.
        resize: how images of other sizes were brought to this one, ``"fit"`` or ``"cover"``; prediction does the same.
        licence: the terms under which the data may be used, if known.
        citation: the reference to cite.
        files: if the examples are files, a text for each that changes with its content, by its path below the folder.
            A run records it, and names the files that differ when it is resumed with others.

    Raises:
        TypeError: class names that are not a tuple of strings.
        ValueError: splits whose arrays differ in name, dtype or shape, a class name given twice, or a class without a
            name.
    """

    name: str
    train: Split
    test: Split
    validation: Split | None = None
    class_names: tuple[str, ...] = ()
    clips: int = 1
    resize: Resize = "fit"
    licence: str = ""
    citation: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_class_names(self.name, self.class_names)
        check_fields(self.name, {which: split.fields for which, split in self.splits.items()})
        for which, split in self.splits.items():
            self._check_classes(which, split)

    def _check_classes(self, which: str, split: Split) -> None:
        for name in CLASSES:
            if not self.class_names or name not in split or not np.issubdtype(split[name].dtype, np.integer):
                continue
            wrong = without_class(name, split[name], len(self.class_names))
            if wrong is not None:
                raise ValueError(
                    f"{self.name}: {name} {wrong} of the {which} split has no class: there are "
                    f"{len(self.class_names)} class_names, for the classes 0 to {len(self.class_names) - 1}."
                )

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name: ``train``, ``validation`` where there is one, ``test``."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}

    def _repr_html_(self) -> str:
        rows = [
            (which, f"{len(split):,}", ", ".join(f"{name}: {short_text(split[name])}" for name in split))
            for which, split in self.splits.items()
        ]
        names = ", ".join(self.class_names[:20]) + (", ..." if len(self.class_names) > 20 else "")
        caption = f"{self.name}: {len(self.class_names)} classes ({names})" if names else self.name
        return html_table(("split", "examples", "arrays"), rows, caption=caption)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of every ``image``."""
        height, width, channels = self.train["image"].shape[1:]
        return height, width, channels

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel over the training images or videos, as float64 ``(channels,)``; of uint8 in [0, 1]."""
        return self._moments[0]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation (of the population) of each channel, as ``mean``; 0 where a channel is constant."""
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and deviations; of uint8 from counts of the 256 values, in whole numbers until the last division.

        With ``n`` pixels, ``s = sum(v)`` and ``q = sum(v**2)``: mean ``s / n`` and variance ``(n q - s**2) / n**2``,
        which in floating point would cancel.
        """
        images = self.train["video" if "image" not in self.train and "video" in self.train else "image"]
        if images.dtype != np.uint8:
            axes = tuple(range(images.ndim - 1))
            return images.mean(axes, dtype=np.float64), images.std(axes, dtype=np.float64)
        means, deviations = [], []
        for channel in _histograms(images):
            counts = channel.tolist()
            pixels = sum(counts)
            total = sum(value * count for value, count in enumerate(counts))
            squares = sum(value * value * count for value, count in enumerate(counts))
            means.append(total / (255 * pixels))
            deviations.append(math.sqrt((pixels * squares - total * total) / (255 * pixels) ** 2))
        return np.array(means), np.array(deviations)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the names, dtypes, shapes and values of the arrays of all splits, as 64 hexadecimal digits.

        The same examples in the same order have the same fingerprint on every machine, under any name and in any
        folder. A resumed run uses it to refuse other data.
        """
        digest = hashlib.sha256()
        for which, split in self.splits.items():
            for name in sorted(split):
                array = np.ascontiguousarray(split[name])
                digest.update(f"{which} {name} {array.dtype.name} {array.shape}".encode())
                digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def without_class(name: str, values: np.ndarray, count: int) -> int | None:
    """The value furthest from the classes 0 to ``count - 1``; None where all are classes, or 255 in ``segmentation``.

    >>> without_class("segmentation", np.array([0, 255, 3]), 2), without_class("label", np.array(1), 2)
    (3, None)
    """
    wrong = (values < 0) | (values >= count)
    if name == "segmentation":
        wrong &= values != IGNORED
    if not wrong.any():
        return None
    low, high = int(values[wrong].min()), int(values[wrong].max())
    return low if low < 0 else high


def check_class_names(name: str, class_names: Any) -> None:
    """Refuses class names that are not distinct strings.

    Raises:
        TypeError: it is not a tuple of strings.
        ValueError: a name is given twice.
    """
    if not isinstance(class_names, tuple) or not all(isinstance(each, str) for each in class_names):
        raise TypeError(f"{name}: class_names must be a tuple of strings, not {class_names!r}.")
    if twice := sorted({each for each in class_names if class_names.count(each) > 1}):
        raise ValueError(f"{name}: two classes are both called {twice[0]!r}; every name must be its own.")


def check_fields(name: str, fields: Mapping[str, Fields]) -> None:
    """Refuses splits whose examples differ in shape, dtype or names.

    Raises:
        ValueError: examples differ; the message names the arrays.
    """
    (first, expected), *others = fields.items()
    for which, found in others:
        if set(found) != set(expected):
            raise ValueError(
                f"{name}: the {first} split has the arrays {', '.join(sorted(expected))}, but the {which} split has "
                f"{', '.join(sorted(found))}."
            )
        for array, (shape, dtype) in expected.items():
            if found[array] != (shape, dtype):
                raise ValueError(
                    f"{name}: {array} is {dtype}{list(shape)} for each example of the {first} split, but "
                    f"{found[array][1]}{list(found[array][0])} for each of the {which} split; bring them to one shape "
                    f"and dtype."
                )


def _histograms(images: np.ndarray, block: int = 2**20) -> np.ndarray:
    """The count of each of the 256 values in each channel, ``(channels, 256)``.

    ``np.bincount`` turns bytes into int64, eight times the memory, so it is given one block of pixels at a time.
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    pixels = images.reshape(-1, images.shape[-1])
    for start in range(0, len(pixels), block):
        for index, channel in enumerate(pixels[start : start + block].T):
            counts[index] += np.bincount(channel, minlength=256)
    return counts
