"""Folders of images: how they are labelled and divided, and what is refused."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import Dataset
from jaxcnn.data._folder import load_folder
from jaxcnn.data._folder_scan import scan_folder
from jaxcnn.data._images import read_image
from jaxcnn.shapes.errors import ShapeError


def write(path: Path, *, size: tuple[int, int] = (6, 5), channels: int = 3, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)
    return pixels


def fill(root: Path, counts: dict[str, int], **options: object) -> dict[str, tuple[np.ndarray, str]]:
    """Writes images of several classes and gives their pixels and class by relative path."""
    made = {}
    for name, count in counts.items():
        for index in range(count):
            path = root / name / f"{index:03}.png"
            made[path.relative_to(root).as_posix()] = (write(path, seed=len(made), **options), name)
    return made


def test_images_are_labelled_by_their_folder_and_none_is_lost(tmp_path: Path) -> None:
    made = fill(tmp_path, {"dog": 10, "ant": 5, "cat": 7})
    data = load_folder(tmp_path)
    assert data.class_names == ("ant", "cat", "dog")
    assert data.name == tmp_path.name
    assert np.bincount(data.test.labels).tolist() == [1, 1, 2]
    assert np.bincount(data.train.labels).tolist() == [4, 6, 8]
    expected = {pixels.tobytes(): name for pixels, name in made.values()}
    for split in (data.train, data.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert expected.pop(image.tobytes()) == data.class_names[label]
    assert not expected


def test_the_division_depends_on_names_only(tmp_path: Path) -> None:
    """Not on the place of the folder, the order in which the system lists files, or the pixels."""
    fill(tmp_path / "a", {"x": 30, "y": 20})
    fill(tmp_path / "b", {"y": 20, "x": 30})
    first, second = load_folder(tmp_path / "a"), load_folder(tmp_path / "b")
    chosen = []
    for root, data in (("a", first), ("b", second)):
        tests = {image.tobytes() for image in data.test.images}
        files = (tmp_path / root).rglob("*.png")
        chosen.append(
            {str(f.relative_to(tmp_path / root)) for f in files if np.asarray(Image.open(f)).tobytes() in tests}
        )
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 10


def test_the_division_is_fixed(tmp_path: Path) -> None:
    """The three of ten that SHA-256 of the relative path puts first: a recorded run must find them again."""
    made = fill(tmp_path, {"x": 10, "y": 2})
    data = load_folder(tmp_path, test_fraction=0.3)
    tests = {image.tobytes() for image in data.test.images}
    assert sorted(path for path, (pixels, _) in made.items() if pixels.tobytes() in tests) == [
        "x/000.png",
        "x/003.png",
        "x/005.png",
        "y/000.png",
    ]


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 2), (0.5, 10), (0.99, 19), (0.001, 1)])
def test_every_class_has_both(tmp_path: Path, fraction: float, count: int) -> None:
    fill(tmp_path, {"x": 20, "y": 2})
    data = load_folder(tmp_path, test_fraction=fraction)
    assert np.bincount(data.test.labels).tolist() == [count, 1]
    assert np.bincount(data.train.labels).tolist() == [20 - count, 1]


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_a_division_that_the_user_made_is_kept(tmp_path: Path, test: str) -> None:
    fill(tmp_path / "train", {"b": 3, "a": 4, "c": 1})
    made = fill(tmp_path / test, {"b": 2, "a": 1})
    data = load_folder(tmp_path)
    assert data.class_names == ("a", "b", "c")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 3 + [2]
    assert data.test.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(data.test.images[0], made["a/000.png"][0])


def test_test_goes_before_val(tmp_path: Path) -> None:
    for name, count in (("train", 3), ("val", 4), ("test", 5)):
        fill(tmp_path / name, {"a": count, "b": 1})
    assert len(load_folder(tmp_path).test) == 6


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    fill(tmp_path, {"train": 4, "test": 4, "plane": 4})
    assert load_folder(tmp_path).class_names == ("plane", "test", "train")


def test_what_is_passed_over_and_what_is_not(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    write(tmp_path / "a" / "deeper" / "x.JPEG")
    write(tmp_path / "b" / "x.webp")
    for name in ("readme.txt", "a/Thumbs.db", "a/.hidden.png", ".git/x.png", "__MACOSX/a/x.png", "loose.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not an image", encoding="utf-8")
    data = load_folder(tmp_path)
    assert data.class_names == ("a", "b")
    assert len(data.train) + len(data.test) == 6


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("training", "testing"), ("TRAIN", "VAL"), ("Training", "Validation"), ("train", "valid")],
)
def test_splits_have_several_names_in_upper_or_lower_case(tmp_path: Path, train: str, test: str) -> None:
    fill(tmp_path / train, {"a": 3, "b": 4})
    fill(tmp_path / test, {"a": 2, "b": 1})
    data = load_folder(tmp_path)
    assert data.class_names == ("a", "b")
    assert data.train.labels.tolist() == [0] * 3 + [1] * 4 and data.test.labels.tolist() == [0] * 2 + [1]


def count(data: Dataset) -> list[list[int]]:
    return [np.bincount(split.labels).tolist() for split in (data.train, data.test)]


def test_what_tools_leave_behind_is_skipped_at_every_level(tmp_path: Path) -> None:
    left = (".ipynb_checkpoints", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information")
    fill(tmp_path, {"a": 5, "b": 5, "a/deeper": 5})
    for name in left:
        for level in ("", "a", "a/deeper"):
            write(tmp_path / level / name / "x.png", seed=99)
    write(tmp_path / "a" / "._000.png")
    assert count(load_folder(tmp_path)) == [[8, 4], [2, 1]]
    skipped = scan_folder(tmp_path).skipped
    assert {path for path, reason in skipped.items() if reason == "left by a tool"} >= {
        tmp_path / level / name for name in left for level in ("", "a", "a/deeper")
    }


def test_links_are_followed_once(tmp_path: Path) -> None:
    """To a parent, to this folder, to another class, to an image: 6 images stay 6, each in its own class."""
    root = tmp_path / "images"
    made = fill(root, {"a": 3, "b": 3})
    for place, target in {
        "a/up": root,
        "a/further_up": tmp_path,
        "latest": root,
        "a/b": root / "b",
        "a/0.png": root / "b" / "000.png",
        "a/again": root / "a",
        "b/again.png": root / "b" / "000.png",
    }.items():
        (root / place).symlink_to(target)
    found = scan_folder(root)
    assert {str(path.relative_to(root)) for path in found.splits["all"]["a"]} == {
        f"a/00{index}.png" for index in range(3)
    }
    assert {str(path.relative_to(root)) for path in found.splits["all"]["b"]} == {
        f"b/00{index}.png" for index in range(3)
    }
    assert {str(path.relative_to(root)): reason for path, reason in found.skipped.items()} == {
        "a/up": "a link to a folder that contains this one",
        "a/further_up": "a link to a folder that contains this one",
        "latest": "a link to a folder that contains this one",
        "a/b": "a link to what is read already",
        "a/0.png": "a link to what is read already",
        "a/again": "a link to what is read already",
        "b/again.png": "a link to what is read already",
    }
    expected = {pixels.tobytes(): name for pixels, name in made.values()}
    data = load_folder(root)
    for image, label in zip(data.train.images, data.train.labels, strict=True):
        assert expected[image.tobytes()] == data.class_names[label]


def test_links_to_other_places_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "store", {"x": 4, "y": 3, "more": 2})
    root = tmp_path / "images"
    root.mkdir()
    (root / "a").symlink_to("../store/x")
    (root / "b").mkdir()
    for index in range(3):
        (root / "b" / f"{index}.png").symlink_to(tmp_path / "store" / "y" / f"00{index}.png")
    (root / "b" / "more").symlink_to(tmp_path / "store" / "more")
    assert count(load_folder(root)) == [[3, 4], [1, 1]]
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert count(load_folder(linked)) == [[3, 4], [1, 1]]


def test_a_sub_folder_of_one_name_in_every_class_says_nothing(tmp_path: Path) -> None:
    """As in Tiny ImageNet: class/images/x.png."""
    fill(tmp_path, {"a/images": 3, "b/images": 3})
    assert load_folder(tmp_path).class_names == ("a", "b")


def test_pipes_are_skipped_not_waited_for(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    os.mkfifo(tmp_path / "a" / "x.png")
    (tmp_path / "b" / "x.png").symlink_to(tmp_path / "a" / "x.png")
    assert len(load_folder(tmp_path).train) == 2
    reasons = scan_folder(tmp_path).skipped
    assert [reasons[tmp_path / name / "x.png"] for name in "ab"] == ["a pipe, a socket or a device"] * 2


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=re.escape(f"folder: {tmp_path / 'b'} cannot be read: Permission denied.")):
        load_folder(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        for index in range(2):
            write(tmp_path / name / f"{index}.{suffix}")
    assert len(load_folder(tmp_path).train) == 2


def test_grey_stays_grey_unless_one_is_coloured(tmp_path: Path) -> None:
    grey = fill(tmp_path, {"a": 3, "b": 3}, channels=1)
    assert load_folder(tmp_path).image_shape == (6, 5, 1)
    assert load_folder(tmp_path, channels=3).image_shape == (6, 5, 3)
    write(tmp_path / "b" / "colour.png", seed=99)
    data = load_folder(tmp_path)
    assert data.image_shape == (6, 5, 3)
    assert load_folder(tmp_path, channels=1).image_shape == (6, 5, 1)
    spread = {np.repeat(pixels, 3, axis=-1).tobytes() for pixels, _ in grey.values()}
    found = {image.tobytes() for split in (data.train, data.test) for image in split.images}
    assert spread < found


def test_sizes_are_brought_to_one_as_in_prediction(tmp_path: Path) -> None:
    for index, size in enumerate([(6, 5), (20, 9), (3, 30), (8, 8)]):
        write(tmp_path / "ab"[index % 2] / f"{index}.png", size=size, seed=index)
    data = load_folder(tmp_path, image_size=8)
    assert data.image_shape == (8, 8, 3)
    found = {image.tobytes() for split in (data.train, data.test) for image in split.images}
    expected = {read_image(path, image_shape=(8, 8, 3)).tobytes() for path in tmp_path.rglob("*.png")}
    assert found == expected


def test_several_sizes_without_a_size(tmp_path: Path) -> None:
    write(tmp_path / "a" / "0.png")
    write(tmp_path / "a" / "1.png")
    write(tmp_path / "b" / "0.png")
    write(tmp_path / "b" / "1.png", size=(7, 9))
    with pytest.raises(
        ValueError, match=r"images must have one size, but .* is 6 high and 5 wide, and .* is 7 high and 9"
    ) as e:
        load_folder(tmp_path)
    assert str(tmp_path / "b" / "1.png") in str(e.value)
    assert "--set image_size=32" in str(e.value)


def test_more_images_than_a_chunk_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for index in range(300):
        path = tmp_path / "train" / "ab"[index // 150] / f"{index:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((1, 2), index % 150, np.uint8)).save(path)
    fill(tmp_path / "test", {"a": 1, "b": 1}, size=(1, 2), channels=1)
    data = load_folder(tmp_path)
    assert data.train.images[:, 0, 1, 0].tolist() == [*range(150), *range(150)]


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
        ({"image_size": 8.0}, TypeError, "folder: image_size wants an integer, not 8.0"),
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
