"""Folders of images: classes, splits, and the files that are skipped."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import Dataset, in_memory, stream
from jaxcnn.data._folder import load_folder
from jaxcnn.data._folder_scan import scan_folder
from jaxcnn.data._images import read_image
from tests.data.image_folders import fill, write


def test_images_are_labelled_by_their_folder_and_none_is_lost(tmp_path: Path) -> None:
    made = fill(tmp_path, {"dog": 10, "ant": 5, "cat": 7})
    data = load_folder(tmp_path)
    assert data.class_names == ("ant", "cat", "dog")
    assert data.name == tmp_path.name
    assert np.bincount(data.test["label"]).tolist() == [1, 1, 2]
    assert np.bincount(data.train["label"]).tolist() == [4, 6, 8]
    expected = {pixels.tobytes(): name for pixels, name in made.values()}
    for split in (data.train, data.test):
        for image, label in zip(split["image"], split["label"], strict=True):
            assert expected.pop(image.tobytes()) == data.class_names[label]
    assert not expected


def test_the_division_depends_on_names_only(tmp_path: Path) -> None:
    """The split depends neither on the location of the folder, nor on the order of listed files, nor on pixels."""
    fill(tmp_path / "a", {"x": 30, "y": 20})
    fill(tmp_path / "b", {"y": 20, "x": 30})
    first, second = load_folder(tmp_path / "a"), load_folder(tmp_path / "b")
    chosen = []
    for root, data in (("a", first), ("b", second)):
        tests = {image.tobytes() for image in data.test["image"]}
        files = (tmp_path / root).rglob("*.png")
        chosen.append(
            {str(f.relative_to(tmp_path / root)) for f in files if np.asarray(Image.open(f)).tobytes() in tests}
        )
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 10


def test_the_division_is_fixed(tmp_path: Path) -> None:
    """Three of ten files, selected by SHA-256 of the relative path.

    Recorded runs must find the same files again.
    """
    made = fill(tmp_path, {"x": 10, "y": 2})
    data = load_folder(tmp_path, test_fraction=0.3)
    tests = {image.tobytes() for image in data.test["image"]}
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
    assert np.bincount(data.test["label"]).tolist() == [count, 1]
    assert np.bincount(data.train["label"]).tolist() == [20 - count, 1]


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_a_division_that_the_user_made_is_kept(tmp_path: Path, test: str) -> None:
    fill(tmp_path / "train", {"b": 3, "a": 4, "c": 1})
    made = fill(tmp_path / test, {"b": 2, "a": 1})
    data = load_folder(tmp_path)
    assert data.class_names == ("a", "b", "c")
    assert data.train["label"].tolist() == [0] * 4 + [1] * 3 + [2]
    assert data.test["label"].tolist() == [0, 1, 1]
    np.testing.assert_array_equal(data.test["image"][0], made["a/000.png"][0])


def test_val_beside_test_is_the_validation_split(tmp_path: Path) -> None:
    made = {name: fill(tmp_path / name, {"a": n, "b": 1}) for name, n in (("train", 3), ("val", 4), ("test", 5))}
    loaded = load_folder(tmp_path)
    resized = load_folder(tmp_path, image_size=4)
    streamed = in_memory(stream(f"folder:{tmp_path}", image_size=4))
    assert streamed.fingerprint == resized.fingerprint
    for data in (loaded, streamed):
        assert {name: len(split) for name, split in data.splits.items()} == {"train": 4, "validation": 5, "test": 6}
        for name, split in (("train", "train"), ("val", "validation"), ("test", "test")):
            assert data.splits[split]["label"][-1] == 1
            np.testing.assert_array_equal(loaded.splits[split]["image"][-1], made[name]["b/000.png"][0])
    fill(tmp_path / "val", {"c": 1})
    with pytest.raises(ValueError, match=r"val has the class 'c', which .*train has not"):
        load_folder(tmp_path)


def test_val_without_classes_beside_test_is_no_split(tmp_path: Path) -> None:
    for name in ("train", "test"):
        fill(tmp_path / name, {"a": 2, "b": 2})
    (tmp_path / "val").mkdir()
    write(tmp_path / "val" / "unlabelled.png")
    assert load_folder(tmp_path).validation is None
    assert scan_folder(tmp_path).skipped[tmp_path / "val"] == "not among the splits that are read"


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
    assert data.train["label"].tolist() == [0] * 3 + [1] * 4 and data.test["label"].tolist() == [0] * 2 + [1]


def count(data: Dataset) -> list[list[int]]:
    return [np.bincount(split["label"]).tolist() for split in (data.train, data.test)]


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
    """Links to a parent, to this folder, to another class and to an image: 6 images stay 6, each in its own class."""
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
    for image, label in zip(data.train["image"], data.train["label"], strict=True):
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
    """The structure of Tiny ImageNet: class/images/x.png."""
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
    found = {image.tobytes() for split in (data.train, data.test) for image in split["image"]}
    assert spread < found


def test_sizes_are_brought_to_one_as_in_prediction(tmp_path: Path) -> None:
    for index, size in enumerate([(6, 5), (20, 9), (3, 30), (8, 8)]):
        write(tmp_path / "ab"[index % 2] / f"{index}.png", size=size, seed=index)
    data = load_folder(tmp_path, image_size=8)
    assert data.image_shape == (8, 8, 3)
    found = {image.tobytes() for split in (data.train, data.test) for image in split["image"]}
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
    assert data.train["image"][:, 0, 1, 0].tolist() == [*range(150), *range(150)]
