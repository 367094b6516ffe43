"""A folder of images, one sub-folder for each class."""

import hashlib
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._error_context import error_context
from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._decode import decode_all, stack
from jaxcnn.data._folder_scan import scan_folder
from jaxcnn.data._images import check_channels, fit, to_pixels
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._polarity import holds_strokes
from jaxcnn.data._sampled_content import MOST_FINGERPRINTS, fingerprints_of, sampled_content

TEST_FRACTION = 0.2

# A file and the number of its class.
Labelled = tuple[Path, int]


@error_context("folder")
def load_folder(
    path: str | Path,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """The images below a folder, decoded, labelled by the sub-folder that they are in.

    Either ``path`` has one sub-folder for each class, and a fixed ``test_fraction`` of every class is held out for
    testing: the images whose relative path has the lowest SHA-256, so the division is the same on every machine. Or it
    has the sub-folders ``train`` (or ``training``) and ``test`` (or ``testing``), in upper or lower case, each with one
    sub-folder for each class. A sub-folder ``val`` (or ``valid`` or ``validation``) is the validation split, or the
    test split if there is no ``test``. Classes are numbered
    in the order of their names. Images may be deeper in the folder of their class. Hidden files, files of tools such as
    ``__MACOSX``, files with another suffix, and links to files that are read already are left out;
    ``jaxcnn show folder:/path`` lists them.

    Args:
        path: the folder.
        image_size: height and width of all images, resized as by ``read_image``; None: they already have one size.
        channels: 1 for grey, 3 for colour; None: grey where every image is.
        test_fraction: the share of each class held out, between 0 and 1; at least one image.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no classes, a class without images, classes that hold the same sub-folders, an image under two
            classes, a file that is not an image, images of several sizes.
    """
    check_options(image_size, channels, test_fraction)
    root, splits, names = find_files(path, test_fraction)
    files = [file for examples in splits.values() for file, _ in examples]
    images = decode_files(files, image_size, channels, root)
    contents = list(sampled_content(files, most=len(files))) if len(files) <= MOST_FINGERPRINTS else []
    parts = in_splits(splits, image=images)
    return Dataset(
        name=name_of(root),
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
        class_names=names,
        files=fingerprints_of(root, files, contents),
    )


def in_splits(splits: Mapping[str, Sequence[tuple[Any, int]]], **arrays: np.ndarray) -> dict[str, Split]:
    """The splits of arrays that have the examples of all splits in order, with the labels."""
    found, start = {}, 0
    for name, examples in splits.items():
        stop = start + len(examples)
        own = {array: values[start:stop] for array, values in arrays.items()}
        found[name] = Split(**own, label=np.array([label for _, label in examples]))
        start = stop
    return found


@error_context("folder")
def find_files(path: str | Path, test_fraction: float) -> tuple[Path, dict[str, list[Labelled]], tuple[str, ...]]:
    """The folder, the files of each split with their labels, and the names of the classes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: fewer than two classes, or what ``scan_folder`` refuses.
    """
    found = scan_folder(path)
    root, names = found.root, found.class_names
    if len(names) < 2:
        inner = next(iter(found.folders.values())) / names[0]
        folders = [each for each in inner.iterdir() if each.is_dir()]
        above = f" Or name the folder above the classes: folder:{inner}" if len(folders) > 1 else ""
        raise ValueError(f"{root} has one class only, {names[0]!r}; classification has two or more.{above}")
    return root, labelled(found.splits, names, root, test_fraction), names


def labelled(
    splits: Mapping[str, Mapping[str, list[Path]]],
    names: tuple[str, ...],
    root: Path,
    test_fraction: float,
    *,
    noun: str = "image",
) -> dict[str, list[Labelled]]:
    """The files of each split with their labels; where all are in one, a part is held out for testing.

    Raises:
        ValueError: no split, and a class with one image only.
    """
    if "all" not in splits:
        return {split: listed(files, names) for split, files in splits.items()}
    train, test = divided(splits["all"], names, root, test_fraction, noun=noun)
    return {"train": train, "test": test}


def name_of(root: Path) -> str:
    """The name of the data set in a folder: that of the folder, unless it is that of a known set of light strokes.

    For those sets, prediction inverts images of dark strokes; a folder with such a name may have images of either kind.

    >>> name_of(Path("/images/insects")), name_of(Path("/images/digits"))
    ('insects', 'folder digits')
    """
    name = root.resolve().name
    return f"folder {name}" if holds_strokes(name) else name


def check_options(image_size: int | None, channels: int | None, test_fraction: float = TEST_FRACTION) -> None:
    """Raises for options of folders that do not exist.

    Raises:
        ValueError: a size below 1, or a share that is not between 0 and 1.
        ShapeError: other channels than 1 and 3.
    """
    if image_size is not None and as_int(image_size, name="image_size") < 1:
        raise ValueError(f"image_size={image_size} must be at least 1.")
    if channels is not None:
        check_channels(channels)
    if not isinstance(test_fraction, numbers.Real) or not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction!r} must be between 0 and 1, such as 0.2.")


def listed(files: Mapping[str, list[Path]], names: tuple[str, ...]) -> list[Labelled]:
    """The files of all classes, each with the number of its class."""
    return [(file, label) for label, name in enumerate(names) for file in files.get(name, [])]


def divided(
    files: Mapping[str, list[Path]], names: tuple[str, ...], root: Path, test_fraction: float, *, noun: str = "image"
) -> tuple[list[Labelled], list[Labelled]]:
    """Of each class, the images with the lowest hashes for testing: at least one, and not all.

    Raises:
        ValueError: a class with one image only.
    """
    train: dict[str, list[Path]] = {}
    test: dict[str, list[Path]] = {}
    for name in names:
        if len(files[name]) < 2:
            raise ValueError(
                f"the class {root / name} has one {noun} only; it needs two, one to learn from and one to test."
            )
        share = min(max(1, round(test_fraction * len(files[name]))), len(files[name]) - 1)
        ordered = sorted(files[name], key=lambda file: _hash(file, root))
        test[name], train[name] = sorted(ordered[:share]), sorted(ordered[share:])
    return listed(train, names), listed(test, names)


def _hash(file: Path, root: Path) -> str:
    return hashlib.sha256(file.relative_to(root).as_posix().encode("utf-8", "surrogateescape")).hexdigest()


def decode_files(
    files: list[Path], image_size: int | None, channels: int | None, root: Path, *, frames: bool = False
) -> np.ndarray:
    """The images of files, or the ``frames`` of videos, as one array.

    Raises:
        ValueError: a file that is not an image, or images of several sizes.
    """

    def decode(start: int, stop: int) -> list[np.ndarray]:
        images = []
        for file in files[start:stop]:
            pixels = to_pixels(open_picture(file, frame=frames), name=str(file), channels=channels)
            images.append(pixels if image_size is None else fit(pixels, (image_size, image_size)))
        return images

    with error_context(f"folder {root}"):
        return stack(decode_all(decode, len(files)), lambda place: str(files[place]))
