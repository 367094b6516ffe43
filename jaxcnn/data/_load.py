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
        name: ``"digits"``, which the package carries; ``"mnist"``, ``"fashion_mnist"`` or ``"cifar10"``, which
            tensorflow-datasets prepares, or any other prepared set of its labelled images, such as ``"cifar100"``;
            or ``"folder:/path"``, with one sub-folder of images for each class.
        data_dir: the folder of prepared TFDS sets; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        image_size: height and width to bring all images to; None takes 32 for the digits, and otherwise the images
            as they are.
        channels: of a folder only: 1 for grey, 3 for colour; None takes grey where every image is.
        test_fraction: of a folder only: the share of each class held out for testing; by default 0.2.

    Raises:
        FileNotFoundError: a set or a folder that is not there; says where it was looked for and what to do.
        ValueError: a name that is not known, or data that cannot be used.

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
