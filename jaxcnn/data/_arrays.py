"""Images in memory: what every source of data gives, and what training reads."""

import dataclasses
import functools
import hashlib
import math

import numpy as np

from jaxcnn._reprs import html_table, short_repr, short_text


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images ``(n, height, width, channels)`` as uint8, and their labels, kept as int32.

    Labels are ``(n,)``, a class for each image, or ``(n, height, width)``, a class for each pixel.

    Raises:
        TypeError: something that is not a NumPy array, images that are not uint8, labels that are not integers.
        ValueError: no image, an image without pixels, another rank, a label for each image missing, a negative label.

    >>> Split(np.zeros((2, 28, 28, 1), np.uint8), np.array([7, 3])).labels.dtype
    dtype('int32')
    """

    images: np.ndarray
    labels: np.ndarray

    __repr__ = short_repr

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        for name, array in (("images", images), ("labels", labels)):
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{name} must be a NumPy array, not {type(array).__name__}; try np.asarray.")
        if images.dtype != np.uint8:
            raise TypeError(
                f"images must have dtype uint8 (0..255), not {images.dtype}. "
                f"Are they in [0, 1]? Then write np.rint(255 * images).astype(np.uint8)."
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"labels must have an integer dtype, not {labels.dtype}.")
        if images.ndim != 4:
            raise ValueError(
                f"images must have the shape (n, height, width, channels), not {images.shape}. "
                f"Grey images have one channel: images[..., None]."
            )
        if labels.shape not in (images.shape[:1], images.shape[:3]):
            raise ValueError(
                f"{len(images)} images require as many labels, in one row, or one for each pixel "
                f"{images.shape[:3]}, but the labels have the shape {labels.shape}."
            )
        if not images.size:
            raise ValueError(f"there is no pixel in images of the shape {images.shape}.")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > np.iinfo(np.int32).max:
            raise ValueError(f"labels count classes from 0, but run from {low} to {high}.")
        object.__setattr__(self, "labels", labels.astype(np.int32))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def by_pixel(self) -> bool:
        """Whether there is a class for every pixel."""
        return self.labels.ndim == 3


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Training and test images of one shape, with the names of their classes.

    Attributes:
        name: what the data set is called in reports.
        train: images to learn from.
        test: images to be judged by.
        class_names: the name of label 0, of label 1, and so on.
        licence: under what terms the images may be used, where that is known.
        citation: whom to cite.

    Raises:
        TypeError: class names that are not a tuple of strings.
        ValueError: splits of different shapes or kinds of label, a class name given twice, or a label without a class.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    licence: str = ""
    citation: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        names = self.class_names
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{self.name}: class_names must be a tuple of strings, not {names!r}.")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.name}: two classes are both called {twice[0]!r}; every name must be its own.")
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise ValueError(
                f"{self.name}: training images are {self.train.images.shape[1:]} but test images are "
                f"{self.test.images.shape[1:]} (height, width, channels); bring them to one shape."
            )
        if self.train.by_pixel != self.test.by_pixel:
            each = {True: "each pixel", False: "each image"}
            raise ValueError(
                f"{self.name}: {each[self.train.by_pixel]} of training has a label but {each[self.test.by_pixel]} of "
                f"testing has; label both alike."
            )
        for which, split in (("train", self.train), ("test", self.test)):
            if (high := int(split.labels.max())) >= len(names):
                raise ValueError(
                    f"{self.name}: label {high} of the {which} images has no class: there are {len(names)} "
                    f"class_names, for the labels 0 to {len(names) - 1}."
                )

    def _repr_html_(self) -> str:
        rows = [
            (which, f"{len(split):,}", short_text(split.images), short_text(split.labels))
            for which, split in (("train", self.train), ("test", self.test))
        ]
        names = ", ".join(self.class_names[:20]) + (", ..." if len(self.class_names) > 20 else "")
        caption = f"{self.name}: {len(self.class_names)} classes ({names})"
        return html_table(("split", "images", "array of images", "array of labels"), rows, caption=caption)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of every image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel over the training images, of pixels in [0, 1], as float64 ``(channels,)``."""
        return self._moments[0]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation (of the population) of each channel, as ``mean``; 0 where a channel is constant."""
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations from counts of the 256 values, in integers until the last division.

        With ``n`` pixels, ``s = sum(v)`` and ``q = sum(v**2)``: mean ``s / n`` and variance ``(n q - s**2) / n**2``,
        which in floating point would cancel.
        """
        means, deviations = [], []
        for channel in _histograms(self.train.images):
            counts = channel.tolist()
            pixels = sum(counts)
            total = sum(value * count for value, count in enumerate(counts))
            squares = sum(value * value * count for value, count in enumerate(counts))
            means.append(total / (255 * pixels))
            deviations.append(math.sqrt((pixels * squares - total * total) / (255 * pixels) ** 2))
        return np.array(means), np.array(deviations)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the shape, images and labels of both splits, as 64 hexadecimal digits.

        The same images in the same order have the same fingerprint, independent of the name and the location of the
        data set and of the machine, so that a resumed run can refuse other data.
        """
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            digest.update(repr(split.images.shape).encode())
            digest.update(np.ascontiguousarray(split.images).data)
            digest.update(split.labels.astype("<i4").tobytes())
        return digest.hexdigest()


def _histograms(images: np.ndarray, block: int = 1024) -> np.ndarray:
    """How often each of the 256 values comes in each channel, ``(channels, 256)``.

    ``np.bincount`` turns bytes into int64, eight times the memory, so it is shown one block of images at a time.
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for start in range(0, len(images), block):
        for index, channel in enumerate(np.moveaxis(images[start : start + block], -1, 0)):
            counts[index] += np.bincount(channel.ravel(), minlength=256)
    return counts
