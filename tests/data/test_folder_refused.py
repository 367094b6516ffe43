"""Folders of images that are refused, and the message of each."""

import re
from pathlib import Path

import pytest

from jaxcnn._errors import ShapeError
from jaxcnn.data._folder import load_folder
from tests.data.image_folders import fill, write


def missing(root: Path) -> None:
    root.rmdir()


def a_file(root: Path) -> None:
    root.rmdir()
    root.write_text("", encoding="utf-8")


def nothing(root: Path) -> None:
    pass


def loose_images(root: Path) -> None:
    write(root / "0.png")
    write(root / "1.png")


def a_class_without_images(root: Path) -> None:
    fill(root, {"a": 3})
    (root / "b").mkdir()
    (root / "b" / "notes.txt").write_text("later", encoding="utf-8")


def one_image(root: Path) -> None:
    fill(root, {"a": 3, "b": 1})


def one_class(root: Path) -> None:
    fill(root, {"a": 3})


def a_folder_too_high(root: Path) -> None:
    fill(root / "images", {"a": 3, "b": 3})


def a_strange_test_class(root: Path) -> None:
    fill(root / "train", {"a": 3, "b": 3})
    fill(root / "test", {"a": 3, "c": 3})


def two_training_splits(root: Path) -> None:
    for split in ("train", "Training", "test"):
        fill(root / split, {"a": 3, "b": 3})


def classes_with_the_same_sub_folders(root: Path) -> None:
    for domain in ("photo", "sketch"):
        fill(root / domain, {"a": 2, "b": 2, domain: 2})


def splits_inside_classes(root: Path) -> None:
    for name in ("a", "b"):
        fill(root / name, {"train": 2, "test": 2})


def a_class_that_is_another(root: Path) -> None:
    fill(root, {"a": 3, "c": 3})
    (root / "b").symlink_to(root / "a")


def a_test_split_that_is_the_training_split(root: Path) -> None:
    fill(root / "train", {"a": 3, "b": 3})
    (root / "test").symlink_to("train")


def one_image_under_two_classes(root: Path) -> None:
    fill(root, {"a": 3, "b": 3})
    write(root.parent / "elsewhere.png")
    for name in ("a", "b"):
        (root / name / "x.png").symlink_to(root.parent / "elsewhere.png")


def one_folder_under_two_classes(root: Path) -> None:
    fill(root, {"a": 3, "b": 3})
    fill(root.parent / "elsewhere", {"x": 2})
    for name in ("a", "b"):
        (root / name / "more").symlink_to(root.parent / "elsewhere" / "x")


def a_link_to_nothing(root: Path) -> None:
    fill(root, {"a": 3, "b": 3})
    (root / "a" / "x.png").symlink_to(root / "absent.png")


def a_link_to_itself(root: Path) -> None:
    fill(root, {"a": 3, "b": 3})
    (root / "a" / "x.png").symlink_to(root / "a" / "x.png")


def a_text_file(root: Path) -> None:
    fill(root, {"a": 3, "b": 3})
    (root / "b" / "text.png").write_text("not an image", encoding="utf-8")


def a_cut_image(root: Path) -> None:
    fill(root, {"a": 3, "b": 3}, size=(40, 40))
    path = root / "b" / "001.png"
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            missing,
            FileNotFoundError,
            "folder: {root} does not exist. A folder of images has one sub-folder for each class.",
        ),
        (
            a_file,
            FileNotFoundError,
            "folder: {root} is not a folder. A folder of images has one sub-folder for each class.",
        ),
        (
            nothing,
            ValueError,
            "folder: {root} has no sub-folder. A folder of images has one sub-folder for each class.",
        ),
        (loose_images, ValueError, "folder: {root} has 2 images but no sub-folder. A folder of images has"),
        (
            a_class_without_images,
            ValueError,
            "folder: the class {root}/b has no images (.png, .jpg, .jpeg, .webp, .bmp",
        ),
        (one_image, ValueError, "folder: the class {root}/b has one image only; it needs two"),
        (one_class, ValueError, "folder: {root} has one class only, 'a'; classification has two or more."),
        (a_folder_too_high, ValueError, "Or name the folder above the classes: folder:{root}/images"),
        (a_strange_test_class, ValueError, "folder: {root}/test has the class 'c', which {root}/train has not."),
        (two_training_splits, ValueError, "folder: {root}/Training and {root}/train are names of the same split. Keep"),
        (
            classes_with_the_same_sub_folders,
            ValueError,
            "folder: {root}/photo and {root}/sketch hold the same sub-folders (a, b). If these are the classes, name "
            "the folders above them train and test, or read one of them: folder:{root}/photo. If 'photo' and",
        ),
        (splits_inside_classes, ValueError, "folder: {root}/a and {root}/b hold the same sub-folders (test, train)."),
        (
            a_class_that_is_another,
            ValueError,
            "folder: the class {root}/b has no images of its own: it is a link to what is read already. Fill it or",
        ),
        (
            a_test_split_that_is_the_training_split,
            ValueError,
            "folder: the class {root}/test/a has no images of its own: it is a link to what is read already.",
        ),
        (
            one_image_under_two_classes,
            ValueError,
            "folder: links to the same place are under two classes or splits, {root}/a/x.png and {root}/b/x.png. An",
        ),
        (
            one_folder_under_two_classes,
            ValueError,
            "two classes or splits, {root}/a/more and {root}/b/more. An image",
        ),
        (a_link_to_nothing, ValueError, "{root}/a/x.png is a link to {root}/absent.png, which does not exist. Remove"),
        (a_link_to_itself, ValueError, "{root}/a/x.png is a link to {root}/a/x.png, which does not exist. Remove"),
        (a_text_file, ValueError, "{root}/b/text.png is not an image that can be read: it begins with b'not an image'"),
        (a_cut_image, ValueError, "{root}/b/001.png is damaged or cut short ("),
    ],
    ids=lambda value: value.__name__ if callable(value) and not isinstance(value, type) else "",
)
def test_what_is_refused(tmp_path: Path, make: object, kind: type[Exception], message: str) -> None:
    root = tmp_path / "images"
    root.mkdir()
    make(root)  # type: ignore[operator]
    with pytest.raises(kind, match=re.escape(message.format(root=root))):
        load_folder(root)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"image_size": 0}, ValueError, "folder: image_size=0 must be at least 1"),
        ({"image_size": 8.0}, TypeError, "folder: image_size must be an integer, not 8.0"),
        ({"channels": 4}, ShapeError, "folder: images have 1 channel (grey) or 3 (colour), not 4"),
        ({"test_fraction": 0}, ValueError, "folder: test_fraction=0 must be between 0 and 1, such as 0.2"),
        ({"test_fraction": 1.0}, ValueError, "folder: test_fraction=1.0 must be between 0 and 1"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, options: dict[str, object], kind: type[Exception], message: str
) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    with pytest.raises(kind, match=re.escape(message)):
        load_folder(tmp_path, **options)  # type: ignore[arg-type]
