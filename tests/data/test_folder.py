"""Folders of images: how they are labelled and divided, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data.folder import load_folder
from jaxcnn.data.images import read_image
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
        ValueError, match=r"images want one size, but .* is 6 high and 5 wide, and .* is 7 high and 9"
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
            "folder: {root} does not exist. It wants one sub-folder of images for each class.",
        ),
        (
            a_file,
            FileNotFoundError,
            "folder: {root} is not a folder. It wants one sub-folder of images for each class.",
        ),
        (nothing, ValueError, "folder: {root} has no sub-folder. It wants one sub-folder of images for each class."),
        (loose_images, ValueError, "folder: {root} has 2 images but no sub-folder. It wants one sub-folder"),
        (
            a_class_without_images,
            ValueError,
            "folder: the class {root}/b has no images (.png, .jpg, .jpeg, .webp, .bmp",
        ),
        (one_image, ValueError, "folder: the class {root}/b has one image only; it needs two"),
        (one_class, ValueError, "folder: {root} has one class only, 'a'; classification wants two or more."),
        (a_folder_too_high, ValueError, "Or name the folder above the classes: folder:{root}/images"),
        (a_strange_test_class, ValueError, "folder: {root}/test has the class 'c', which {root}/train has not."),
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
        ({"test_fraction": 0}, ValueError, "folder: test_fraction=0 must lie between 0 and 1, such as 0.2"),
        ({"test_fraction": 1.0}, ValueError, "folder: test_fraction=1.0 must lie between 0 and 1"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, options: dict[str, object], kind: type[Exception], message: str
) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    with pytest.raises(kind, match=re.escape(message)):
        load_folder(tmp_path, **options)  # type: ignore[arg-type]
