"""Pictures of confusion matrices: colours by share of the row, with mistakes visible and correct predictions not."""

from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
import pytest

from jaxcnn import metrics
from jaxcnn.vis import confusion_figure, draw_confusion
from tests.tiers import default_rows
from tests.vis.pictures import pixels


def names(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


def colours_of(figure: Any) -> np.ndarray:
    """The colour of every cell, (classes, classes, RGBA); transparent if nothing is drawn."""
    (image,) = figure.axes[0].images
    return image.to_rgba(image.get_array())


def test_mistakes_are_coloured_by_their_share_of_the_row() -> None:
    # 10 of 20 and 100 of 200 are the same share; 1 of 200 is the smallest share; the diagonal is not coloured.
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


def test_what_is_counted_is_named() -> None:
    axes = confusion_figure(np.array([[3, 1], [0, 4]]), ("a", "b"), unit="pixels").axes
    assert axes[0].get_title(loc="left") == "87.50 % right: 7 of 8 pixels"
    assert axes[1].get_ylabel() == "Share of the true class's pixels (%)"


def printed(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_counts_and_the_accuracy_of_each_class_are_printed() -> None:
    figure = confusion_figure(np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert printed(figure) == ["8", "2", "5", "80.0 %", "100.0 %", "none"]
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "86.67 % right: 13 of 15 images"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted class", "True class")


def test_a_matrix_of_metrics_is_drawn_like_one_of_integers() -> None:
    labels, predictions = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0])
    figure = confusion_figure(metrics.confusion_matrix(labels, predictions, num_classes=3), names(3))
    assert printed(figure) == ["1", "1", "1", "1", "1", "50.0 %", "100.0 %", "50.0 %"]
    assert figure.axes[0].get_title(loc="left") == "60.00 % right: 3 of 5 images"


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
        (np.eye(2) / 2, 2, ValueError, r"counts must be whole numbers, but one is 0\.5"),
        (np.full((2, 2), np.nan), 2, ValueError, "counts must be finite, but one is nan"),
        (np.array([[1, np.inf], [0, 1]]), 2, ValueError, "counts must be finite, but one is inf"),
        (np.eye(2, dtype=bool), 2, TypeError, "must hold counts, not bool"),
        (np.array([[1, -2], [0, 1]]), 2, ValueError, "counts cannot be negative, but one is -2"),
        (np.zeros((2, 2), int), 2, ValueError, "all counts of the matrix are 0"),
    ],
)
def test_picture_refuses(tmp_path: Path, matrix: np.ndarray, count: int, error: type, message: str) -> None:
    with pytest.raises(error, match="draw_confusion: .*" + message):
        draw_confusion(matrix, names(count), tmp_path / "confusion.png")
    assert not list(tmp_path.iterdir())
