"""Data sets by name."""

from pathlib import Path

from jaxcnn._axes import as_int
from jaxcnn._hints import did_you_mean
from jaxcnn.data._arrays import Dataset
from jaxcnn.data._digits import digits
from jaxcnn.data._folder import TEST_FRACTION, load_folder
from jaxcnn.data._tfds import NAMES as TFDS_NAMES
from jaxcnn.data._tfds import data_folder, is_prepared, load_tfds

_NAMES = ("digits", *TFDS_NAMES)
_FOLDER = "folder:"


def names() -> tuple[str, ...]:
    """The built-in names of ``load``; it also reads ``folder:/path`` and every prepared TFDS set.

    >>> names()
    ('digits', 'mnist', 'fashion_mnist', 'cifar10')
    """
    return _NAMES


def load(
    name: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    test_fraction: float | None = None,
) -> Dataset:
    """A data set in memory: every image decoded, as uint8.

    Args:
        name: ``"digits"``, which are part of the package; ``"mnist"``, ``"fashion_mnist"`` or ``"cifar10"``, which
            are downloaded and prepared if tensorflow-datasets (TFDS) has not prepared them; any other prepared TFDS
            set of labelled images, such as ``"cifar100"``; or ``"folder:/path"``, with one sub-folder of images for
            each class.
        data_dir: the folder of prepared TFDS sets; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        image_size: height and width of all images, which are resized; None is 32 for the digits, and otherwise the
            size of the images.
        channels: only for folders: 1 for grey, 3 for colour; None is grey if every image is grey.
        test_fraction: only for folders: the fraction of each class held out for testing; by default 0.2.

    Raises:
        FileNotFoundError: a set or a folder does not exist; the message has the places that were searched and what to
            do.
        ValueError: an unknown name, or data that cannot be used.

    >>> data = load("digits")
    >>> data.image_shape, len(data.train), len(data.test)
    ((32, 32, 1), 1437, 360)
    """
    if image_size is not None and as_int(image_size, name="image_size") < 1:
        raise ValueError(f"image_size={image_size} must be at least 1.")
    if name.startswith(_FOLDER):
        return load_folder(
            name.removeprefix(_FOLDER),
            image_size=image_size,
            channels=channels,
            test_fraction=TEST_FRACTION if test_fraction is None else test_fraction,
        )
    folder_only = {"channels": channels, "test_fraction": test_fraction}
    if given := [option for option, value in folder_only.items() if value is not None]:
        raise ValueError(f"{' and '.join(given)} can be given for a folder:/path only, not for {name!r}.")
    if name == "digits":
        return digits() if image_size is None else digits(image_size)
    if name in TFDS_NAMES or is_prepared(name, data_dir=data_dir):
        return load_tfds(name, data_dir=data_dir, image_size=image_size)
    raise ValueError(f"{_unknown(name, data_folder(data_dir))}")


def _unknown(name: str, root: Path) -> str:
    known = ", ".join(repr(known) for known in _NAMES)
    near = did_you_mean(name, _NAMES)
    suggestion = near + " " if near.startswith("Did") else ""
    if name and Path(name).is_dir():
        suggestion = f"Did you mean '{_FOLDER}{name}'? "
    return (
        f"there is no data set {name!r}. {suggestion}Known: {known}, '{_FOLDER}/path', and the sets that "
        f"tensorflow-datasets has prepared in {root}."
    )
