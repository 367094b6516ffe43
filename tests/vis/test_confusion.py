"""Confusions: counted against a loop, coloured by share of the row, mistakes visible and the right ones not."""

from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
import pytest

from jaxcnn.vis import confusion_figure, confusion_matrix, draw_confusion
from tests.tiers import default_rows
from tests.vis.pictures import pixels


def names(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


@pytest.mark.parametrize("num_classes", [1, 2, 7, 100])
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_counts_agree_with_a_loop(num_classes: int, dtype: type) -> None:
    rng = np.random.default_rng(num_classes)
    labels, predictions = rng.integers(0, num_classes, (2, 500)).astype(dtype)
    slow = np.zeros((num_classes, num_classes), int)
    for label, prediction in zip(labels, predictions, strict=True):
        slow[label, prediction] += 1
    matrix = confusion_matrix(labels, predictions, num_classes)
    np.testing.assert_array_equal(matrix, slow)
    assert matrix.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "predictions", "num_classes", "error", "message"),
    [
        ([0, 1], [0], 2, ValueError, r"must be vectors of the same length, but have the shapes \(2,\) and \(1,\)"),
        ([[0]], [[0]], 2, ValueError, r"must be vectors of the same length"),
        ([], [], 2, ValueError, "there is no label to count"),
        ([0, 3], [0, 1], 3, ValueError, r"labels of 3 classes must be in 0\.\.2, but are from 0 to 3"),
        ([0, 1], [-1, 1], 3, ValueError, r"predictions of 3 classes must be in 0\.\.2, but are from -1 to 1"),
        ([0.0, 1.0], [0, 1], 2, TypeError, "labels must have an integer dtype, not float64"),
        (
            [0, 1],
            [0.1, 0.9],
            2,
            TypeError,
            "predictions must have an integer dtype, not float64. Pass the argmax",
        ),
        ([0], [0], 0, ValueError, "num_classes=0 must be at least 1"),
    ],
)
def test_matrix_refuses(labels: list, predictions: list, num_classes: int, error: type, message: str) -> None:
    with pytest.raises(error, match="confusion_matrix: .*" + message):
        confusion_matrix(np.array(labels), np.array(predictions), num_classes)


def colours_of(figure: Any) -> np.ndarray:
    """The colour of every cell, (classes, classes, RGBA); see-through where nothing is drawn."""
    (image,) = figure.axes[0].images
    return image.to_rgba(image.get_array())


def test_mistakes_are_coloured_by_their_share_of_the_row() -> None:
    # 10 of 20 and 100 of 200 are one share; 1 of 200 is the least; the diagonal has no colour of its own.
    matrix = np.array([[10, 10, 0], [100, 99, 1], [0, 0, 7]])
    colours = colours_of(confusion_figure(matrix, names(3)))
    np.testing.assert_array_equal(colours[0, 1], colours[1, 0])
    saturation = matplotlib.colors.rgb_to_hsv(colours[..., :3])[..., 1]
    assert saturation[1, 2] > 0.3, "one mistake must show"
    assert colours[1, 2, :3].sum() > colours[0, 1, :3].sum(), "more mistakes are darker"
    assert (colours[..., 3] == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]).all()


def test_one_mistake_of_many_is_no_alarm_and_shows_in_the_file(tmp_path: Path) -> None:
    matrix = np.diag([100] * 10)
    draw_confusion(matrix, names(10), tmp_path / "right.png")
    matrix[3, 7] = 1
    draw_confusion(matrix, names(10), tmp_path / "wrong.png")
    hue = [np.ptp(pixels(tmp_path / f"{name}.png").astype(int), axis=-1) > 60 for name in ("right", "wrong")]
    assert hue[0].sum() == 0, "without a mistake there is no colour"
    assert hue[1].sum() > 2000
    few = colours_of(confusion_figure(matrix, names(10)))[3, 7, :3]
    matrix[3, 7] = 50
    many = colours_of(confusion_figure(matrix, names(10)))[3, 7, :3]
    assert few.sum() > many.sum() + 1


def printed(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_counts_and_the_accuracy_of_each_class_are_printed() -> None:
    figure = confusion_figure(np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert printed(figure) == ["8", "2", "5", "80.0 %", "100.0 %", "no image"]
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "86.67 % right: 13 of 15 images"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted class", "True class")


@pytest.mark.parametrize(
    ("num_classes", "with_counts"), default_rows([(2, True), (30, True), (31, False), (100, False)], keep=[2, 31])
)
def test_two_to_a_hundred_classes(tmp_path: Path, num_classes: int, with_counts: bool) -> None:
    rng = np.random.default_rng(0)
    matrix = np.diag(np.full(num_classes, 9)) + (rng.random((num_classes, num_classes)) < 0.1)
    long = ["x" * 60 + str(index) for index in range(num_classes)]
    figure = confusion_figure(matrix, long)
    assert len(printed(figure)) == (np.count_nonzero(matrix) + num_classes if with_counts else 0)
    assert {len(label.get_text()) for label in figure.axes[0].get_xticklabels()} == {24}
    draw_confusion(matrix, long, tmp_path / "confusion.png")
    edge = pixels(tmp_path / "confusion.png")
    edge = np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]])
    assert (edge == 255).all(), "something is cut off at the border"


@pytest.mark.parametrize(
    ("matrix", "count", "error", "message"),
    [
        (np.ones((2, 3), int), 2, ValueError, r"a row and a column for each class, not the shape \(2, 3\)"),
        (np.ones(4, int), 4, ValueError, r"a row and a column for each class, not the shape \(4,\)"),
        (np.ones((2, 2), int), 3, ValueError, "2 classes require as many names, not 3"),
        (np.eye(2), 2, TypeError, "must hold counts of an integer dtype, not float64"),
        (np.array([[1, -2], [0, 1]]), 2, ValueError, "counts cannot be negative, but one is -2"),
        (np.zeros((2, 2), int), 2, ValueError, "all counts of the matrix are 0"),
    ],
)
def test_picture_refuses(tmp_path: Path, matrix: np.ndarray, count: int, error: type, message: str) -> None:
    with pytest.raises(error, match="draw_confusion: .*" + message):
        draw_confusion(matrix, names(count), tmp_path / "confusion.png")
    assert not list(tmp_path.iterdir())
