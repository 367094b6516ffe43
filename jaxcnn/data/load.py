"""Data sets by name."""

from pathlib import Path

from jaxcnn.data.arrays import Dataset
from jaxcnn.data.digits import digits
from jaxcnn.shapes.errors import did_you_mean

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10")


def names() -> tuple[str, ...]:
    """The names that ``load`` knows; beside them it reads ``folder:/path`` and every prepared TFDS set of images.

    >>> names()
    ('digits', 'mnist', 'fashion_mnist', 'cifar10')
    """
    return NAMES


def load(name: str, *, data_dir: str | Path | None = None, image_size: int | None = None) -> Dataset:
    """A data set in memory, decoded, as uint8.

    Raises:
        ValueError: a name that is not known.

    >>> load("digits").image_shape
    (32, 32, 1)
    """
    if name == "digits":
        return digits() if image_size is None else digits(image_size)
    raise ValueError(f"load: there is no data set {name!r}. {did_you_mean(name, NAMES)}")
