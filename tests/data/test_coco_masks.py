"""Masks of COCO's objects against pycocotools, and the label maps of the reader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from jaxcnn import data
from jaxcnn.data._coco_masks import shape_of
from tests.data.annotated_files import COCO, write_coco


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # computed by pycocotools
def test_polygons_and_run_lengths_against_pycocotools() -> None:
    """Points inside and outside of the image, integers and half-integers, repeated points, and several polygons."""
    generator = np.random.default_rng(0)
    for trial in range(80):
        height, width = size = tuple(generator.integers(1, 40, 2).tolist())
        polygons = []
        for _ in range(generator.integers(1, 4)):
            points = generator.uniform(-6, 46, (generator.integers(3, 9), 2))
            points = [points, np.round(points), np.round(2 * points) / 2, points[[0, 0, *range(len(points))]]][
                trial % 4
            ]
            polygons.append(points.ravel().tolist())
        runs = coco_masks.frPyObjects(polygons, height, width)
        wanted = coco_masks.decode(coco_masks.merge(runs))
        np.testing.assert_array_equal(shape_of(polygons, size).mask(size), wanted)
        for each in runs:
            wanted = coco_masks.decode(each)
            text = {"size": [height, width], "counts": each["counts"].decode()}
            np.testing.assert_array_equal(shape_of(text, size).mask(size), wanted)
            changes = np.flatnonzero(np.diff(wanted.T.ravel(), prepend=0, append=2))
            lengths = {"size": [height, width], "counts": np.diff(changes, prepend=0).tolist()}
            np.testing.assert_array_equal(shape_of(lengths, size).mask(size), wanted)


def with_shapes(*shapes: Any) -> list[dict[str, Any]]:
    return [{**box, "segmentation": shape} for box, shape in zip(COCO, shapes, strict=True)]


SQUARE = [[1, 2, 4, 2, 4, 6, 1, 6]]
CROWD = {"size": [6, 10], "counts": [0, 24, 36]}  # only the first four columns
OTHER = [[0, 0, 4, 0, 4, 2], [0, 4, 4, 4, 4, 8, 0, 8]]


def test_label_maps_of_objects(tmp_path: Path) -> None:
    path = write_coco(tmp_path, with_shapes(SQUARE, CROWD, OTHER))
    files = {"train": path, "test": path}
    found = data.coco(tmp_path / "images", files, segmentation=True)
    first, second = (found.train.read([index]).arrays["segmentation"][0] for index in (0, 1))
    wanted = np.full((8, 10), 255)  # the size of both images
    wanted[:6] = 0
    wanted[:6, :4] = 1  # the crowd is of class 1, "car"
    wanted[2:6, 1:4] = 255  # pixels of class 2, which overlaps the crowd
    np.testing.assert_array_equal(first, wanted)
    assert second[4:8, :4].tolist() == [[1] * 4] * 4 and second[2:4, :4].tolist() == [[0] * 4] * 2
    assert (second[:, 4:] == 255).all()
    only = data.coco(tmp_path / "images", files, class_names=["toothbrush"], segmentation=True)
    assert only.train.read([0]).arrays["segmentation"][0, :6].sum() == 12  # pixels of the square
    assert "segmentation" not in data.coco(tmp_path / "images", files).train.fields
    other = write_coco(tmp_path, with_shapes(SQUARE, CROWD, OTHER[:1]), name="other")
    changed = data.coco(tmp_path / "images", {"train": other, "test": other}, segmentation=True)
    assert changed.fingerprint != found.fingerprint


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (None, "None instead of polygons or run lengths"),
        ([], r"\[\] instead of polygons"),
        ([[1, 1, 2, 2]], r"the polygon \[1, 1, 2, 2\], which is not at least three pairs"),
        ([[1, 1, 2, 2, 3, float("nan")]], ".*which is not at least three pairs of finite numbers"),
        ({"size": [10, 6], "counts": [60]}, r"run lengths of the size \[10, 6\], but the image has \[6, 10\]"),
        ({"size": [6, 10], "counts": [59]}, "run lengths that do not add up to the 60 pixels"),
        ({"size": [6, 10], "counts": "~"}, "the character '~' in run lengths as text"),
    ],
)
def test_refused_shapes(tmp_path: Path, shape: Any, message: str) -> None:
    path = write_coco(tmp_path, with_shapes(shape, CROWD, OTHER))
    files = {"train": path, "test": path}
    with pytest.raises(ValueError, match=f"^coco: .*boxes.json, image 70: the segmentation of an object has {message}"):
        data.coco(tmp_path / "images", files, segmentation=True)


def test_repair_leaves_out_polygons_of_two_points(tmp_path: Path) -> None:
    path = write_coco(tmp_path, with_shapes([[1, 1, 2, 2], *SQUARE], CROWD, OTHER))
    found = data.coco(tmp_path / "images", {"train": path, "test": path}, segmentation=True, repair=True)
    assert (found.train.read([0]).arrays["segmentation"][0] == 255).sum() == 20 + 12
