"""A folder of images, one sub-folder for each class."""

import hashlib
import os
from pathlib import Path

import numpy as np

from jaxcnn.data._open_picture import open_picture
from jaxcnn.data.arrays import Dataset, Split
from jaxcnn.data.decode import decode_all, stack
from jaxcnn.data.images import check_channels, fit, to_pixels
from jaxcnn.shapes.axes import as_int

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TEST_FRACTION = 0.2
TEST_FOLDERS = ("test", "val", "valid", "validation")

# A file and the number of its class.
Labelled = tuple[Path, int]


def load_folder(
    path: str | Path,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """The images below a folder, decoded, labelled by the sub-folder that they lie in.

    Either ``path`` has one sub-folder for each class, and a fixed ``test_fraction`` of every class is held out for
    testing: the images whose relative path hashes lowest, so the division is the same on every machine. Or it has the
    sub-folders ``train`` and ``test`` (or ``val``, ``valid``, ``validation``), and each of them one for each class.
    Classes are numbered in the order of their names. Hidden files and those with another suffix are passed over; images
    may lie deeper in the folder of their class.

    Args:
        path: the folder.
        image_size: height and width to bring all images to, as ``jaxcnn.data.images`` says; None: they have one size.
        channels: 1 for grey, 3 for colour; None: grey where every image is.
        test_fraction: the share of each class held out, between 0 and 1; at least one image.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no classes, a class without images, a file that is not an image, images of several sizes.
    """
    _check_options(image_size, channels, test_fraction)
    root, train, test, names = find_files(path, test_fraction)
    files = [file for file, _ in train + test]
    images = _decode(files, image_size, channels, root)
    labels = np.array([label for _, label in train + test])
    return Dataset(
        name=root.resolve().name,
        train=Split(images[: len(train)], labels[: len(train)]),
        test=Split(images[len(train) :], labels[len(train) :]),
        class_names=names,
    )


def find_files(path: str | Path, test_fraction: float) -> tuple[Path, list[Labelled], list[Labelled], tuple[str, ...]]:
    """The folder, the files to train on and to test on with their labels, and the names of the classes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no classes, or a class without images.
    """
    if not str(path):
        raise ValueError("folder: which folder? Write folder:/path, with one sub-folder of images for each class.")
    root = Path(path).expanduser()
    parts = _parts(root)
    names = tuple(sorted({name for files in parts.values() for name in files}))
    if len(names) < 2:
        inner = root / names[0]
        above = f" Or name the folder above the classes: folder:{inner}" if len(_folders(inner)) > 1 else ""
        raise ValueError(f"folder: {root} has one class only, {names[0]!r}; classification wants two or more.{above}")
    if "test" in parts:
        return root, _listed(parts["train"], names), _listed(parts["test"], names), names
    return root, *_divided(parts["all"], names, root, test_fraction), names


def _check_options(image_size: int | None, channels: int | None, test_fraction: float) -> None:
    if image_size is not None and as_int(image_size, who="folder", name="image_size") < 1:
        raise ValueError(f"folder: image_size={image_size} must be at least 1.")
    if channels is not None:
        check_channels(channels, who="folder")
    if not 0 < test_fraction < 1:
        raise ValueError(f"folder: test_fraction={test_fraction} must lie between 0 and 1, such as 0.2.")


def _parts(root: Path) -> dict[str, dict[str, list[Path]]]:
    """The files of each class: under ``train`` and ``test`` where these are divided, else under ``all``."""
    if not root.is_dir():
        kind = "is not a folder" if root.exists() else "does not exist"
        raise FileNotFoundError(f"folder: {root} {kind}. It wants one sub-folder of images for each class.")
    folders = {folder.name: folder for folder in _folders(root)}
    test = next((folders[name] for name in TEST_FOLDERS if name in folders), None)
    if test is None or "train" not in folders or not _folders(folders["train"]):
        return {"all": _classes(root)}
    train_files, test_files = _classes(folders["train"]), _classes(test)
    if strange := sorted(set(test_files) - set(train_files)):
        raise ValueError(f"folder: {test} has the class {strange[0]!r}, which {folders['train']} has not.")
    return {"train": train_files, "test": test_files}


def _folders(path: Path) -> list[Path]:
    """Sub-folders that a user made: not ``.git``, not ``__MACOSX``."""
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith((".", "__")))


def _classes(root: Path) -> dict[str, list[Path]]:
    """The image files of each class, sorted."""
    found = {folder.name: _image_files(folder) for folder in _folders(root)}
    if not found:
        loose = len(_image_files(root))
        held = f"has {loose} images but no sub-folder" if loose else "has no sub-folder"
        raise ValueError(f"folder: {root} {held}. It wants one sub-folder of images for each class.")
    for name, files in found.items():
        if not files:
            raise ValueError(
                f"folder: the class {root / name} has no images ({', '.join(SUFFIXES)}). Fill it or remove it."
            )
    return found


def _image_files(folder: Path) -> list[Path]:
    files = []
    for place, _, names in os.walk(folder, followlinks=True):
        files += [Path(place, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(files)


def _listed(files: dict[str, list[Path]], names: tuple[str, ...]) -> list[Labelled]:
    return [(file, label) for label, name in enumerate(names) for file in files.get(name, [])]


def _divided(
    files: dict[str, list[Path]], names: tuple[str, ...], root: Path, test_fraction: float
) -> tuple[list[Labelled], list[Labelled]]:
    """Of each class, the images with the lowest hashes for testing: at least one, and not all."""
    train: dict[str, list[Path]] = {}
    test: dict[str, list[Path]] = {}
    for name in names:
        if len(files[name]) < 2:
            raise ValueError(
                f"folder: the class {root / name} has one image only; it needs two, one to learn from and one to test."
            )
        share = min(max(1, round(test_fraction * len(files[name]))), len(files[name]) - 1)
        ordered = sorted(files[name], key=lambda file: _hash(file, root))
        test[name], train[name] = sorted(ordered[:share]), sorted(ordered[share:])
    return _listed(train, names), _listed(test, names)


def _hash(file: Path, root: Path) -> str:
    return hashlib.sha256(file.relative_to(root).as_posix().encode("utf-8", "surrogateescape")).hexdigest()


def _decode(files: list[Path], image_size: int | None, channels: int | None, root: Path) -> np.ndarray:
    def decode(start: int, stop: int) -> list[np.ndarray]:
        images = []
        for file in files[start:stop]:
            pixels = to_pixels(open_picture(file), name=str(file), channels=channels)
            images.append(pixels if image_size is None else fit(pixels, (image_size, image_size)))
        return images

    return stack(decode_all(decode, len(files)), lambda place: str(files[place]), who=f"folder {root}")
