"""The picture of boxes: the boxes that are drawn, their places, classes and scores."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxcnn.vis._boxes import boxes_figure, draw_boxes
from jaxcnn.vis._segmentation import class_colours

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
BOXES = np.array([[[1, 2, 5, 6], [0, 0, 0, 0]], [[0, 0, 12, 8], [6, 3, 9, 4]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
LABELS = np.array([[2, 0], [1, 2], [0, 0]])
SCORES = np.array([[0.9, 0.0], [0.25, 0.5], [0.0, 0.0]])
TRUTH = np.array([[[1, 1, 4, 6]], [[0, 0, 0, 0]], [[2, 2, 3, 3]]])
NAMES = ("background", "a cat", "a very long name of a dog")


def test_boxes_are_drawn_with_class_and_score_and_true_ones_dashed() -> None:
    figure = boxes_figure(IMAGES, BOXES, LABELS, NAMES, title="Title", scores=SCORES, truth=TRUTH)
    first, second, third = figure.axes
    found: list[Any] = list(first.patches)
    assert [patch.get_bbox().extents.tolist() for patch in found] == [[1, 1, 4, 6], [1, 2, 5, 6]]
    assert [patch.get_linestyle() for patch in found] == ["--", "-"]
    assert to_rgb(found[1].get_edgecolor()) == pytest.approx(tuple(class_colours(3)[2]))
    assert [text.get_text() for text in first.texts] == ["a very long n… 0.90"]
    assert [text.get_text() for text in second.texts] == ["a cat 0.25", "a very long n… 0.50"]
    assert not third.texts and len(third.patches) == 1
    assert len(second.patches) == 2  # the true box of this image has no area
    assert first.images[0].get_extent() == [0, 12, 8, 0]
    np.testing.assert_array_equal(first.images[0].get_array(), IMAGES[0])
    assert [text.get_text() for text in figure.texts] == ["Title"]


def test_grey_images_few_images_and_no_scores() -> None:
    figure = boxes_figure(IMAGES[..., :1], BOXES, LABELS, NAMES, title="", count=2)
    assert len(figure.axes) == 2 and figure.axes[1].texts[0].get_text() == "a cat"


def test_the_file_is_written(tmp_path: Path) -> None:
    draw_boxes(IMAGES, BOXES, LABELS, NAMES, tmp_path / "boxes.png", title="Title")
    assert (tmp_path / "boxes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"count": 0}, ValueError, "count=0 must be at least 1"),
        ({"images": IMAGES / 255}, TypeError, "images must be uint8, not float64"),
        ({"images": IMAGES[..., :2]}, ValueError, "images must have the shape (n, height, width, 1 or 3)"),
        ({"boxes": BOXES[:2]}, ValueError, "boxes must have the shape (3, m, 4), not (2, 2, 4)"),
        ({"truth": TRUTH[..., :3]}, ValueError, "truth must have the shape (3, m, 4), not (3, 1, 3)"),
        ({"labels": LABELS[:, :1]}, ValueError, "labels must have an entry for each box (3, 2), not (3, 1)"),
        ({"scores": SCORES[:, :1]}, ValueError, "scores must have an entry for each box (3, 2), not (3, 1)"),
        ({"labels": LABELS / 1}, TypeError, "labels must have an integer dtype, not float64"),
        ({"labels": LABELS + 1}, ValueError, "labels of 3 classes must be in 0..2, but are from 1 to 3"),
    ],
)
def test_refusals(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    given = {"images": IMAGES, "boxes": BOXES, "labels": LABELS, "class_names": NAMES, "title": ""} | change
    with pytest.raises(kind, match=re.escape(message)):
        boxes_figure(**given)
