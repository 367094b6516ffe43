"""Label maps: files of tools, values and colours of classes, and classes that no pixel has."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxcnn import data


def write(root: Path, picture: Image.Image) -> Path:
    """A set with one image in each split, and this label map."""
    for folder in ("train", "test"):
        for suffix, each in (("", Image.new("RGB", picture.size)), ("annot", picture)):
            (root / (folder + suffix)).mkdir(parents=True, exist_ok=True)
            each.save(root / (folder + suffix) / "a.png")
    return root


def classes_of(root: Path, **options: Any) -> list[list[int]]:
    found = data.label_maps(root, class_names=("sky", "road"), **options)
    return found.train.read([0]).arrays["segmentation"][0].tolist()


def test_files_of_tools_are_skipped(tmp_path: Path) -> None:
    root = write(tmp_path, Image.new("L", (4, 2), 1))
    for folder in root.iterdir():
        for name in (".DS_Store", "Thumbs.db"):
            (folder / name).write_bytes(b"x")
    assert len(data.label_maps(root, class_names=("sky", "road")).train) == 1


def test_values_and_colours_have_the_classes_that_are_given(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 7]], np.uint8)
    root = write(tmp_path / "grey", Image.fromarray(grey))
    assert classes_of(root, values={255: 1}, ignored=[7]) == [[0, 1, 255]]
    assert classes_of(root, ignored=[7]) == [[0, 255, 255]]
    colours = np.array([[[0, 0, 0], [128, 0, 0], [255, 255, 255]]], np.uint8)
    values = {(0, 0, 0): 0, (128, 0, 0): 1, (255, 255, 255): 255}
    palette = Image.fromarray(colours).quantize(4)
    for name, picture in (("rgb", Image.fromarray(colours)), ("palette", palette)):
        assert classes_of(write(tmp_path / name, picture), values=values) == [[0, 1, 255]]
    names = ("sky", "road")
    fingerprints = {data.label_maps(root, class_names=names, values=each).fingerprint for each in ({}, {255: 1})}
    assert len(fingerprints) == 2


def test_label_maps_of_another_kind_are_refused_at_once(tmp_path: Path) -> None:
    for picture, mode in ((Image.new("RGB", (4, 2)), "RGB"), (Image.fromarray(np.ones((2, 4), np.uint16)), "I;16")):
        with pytest.raises(
            ValueError, match=rf"^label_maps: .*a\.png has the mode {mode}\. Expected a grey image of 8"
        ):
            data.label_maps(write(tmp_path, picture), class_names=("sky", "road"))
    with pytest.raises(ValueError, match=r"a\.png has the colour \(0, 0, 9\), of which values has no class"):
        classes_of(write(tmp_path, Image.new("RGB", (4, 2), (0, 0, 9))), values={(0, 0, 0): 0})
    write(tmp_path, Image.new("L", (4, 2)))
    (tmp_path / "trainannot" / "a.png").write_bytes(b"no picture")
    assert len(data.label_maps(tmp_path, class_names=("sky", "road"), max_corrupt=1).train) == 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({0: 0, (0, 0, 0): 0}, ValueError, r"values has grey values and colours, such as \(0, 0, 0\)"),
        ({256: 0}, ValueError, "values has 256: 0. Expected a value or a colour"),
        ({0: 256}, ValueError, "values has 0: 256. Expected a value or a colour"),
        ({(0, 0): 1}, ValueError, r"values has \(0, 0\): 1. Expected a value or a colour \(red, green, blue\)"),
        ({"red": 1}, TypeError, "values must be an integer, not 'red'"),
    ],
)
def test_values_that_are_refused(tmp_path: Path, values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        classes_of(write(tmp_path, Image.new("L", (4, 2))), values=values)


def test_classes_without_a_pixel_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mask = np.array([[0, 255, 255, 255]], np.uint8)
    masks = data.label_maps(write(tmp_path, Image.fromarray(mask)), class_names=("sky", "road"))
    data.in_memory(masks)
    assert "has the class 'road'; 75 % of its pixels have no label (255)" in caplog.text
    caplog.clear()
    data.in_memory(data.label_maps(tmp_path, class_names=("sky", "road"), values={255: 1}))
    assert not caplog.records
