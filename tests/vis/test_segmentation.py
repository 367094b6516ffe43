"""The picture of a class for each pixel."""

import re

import numpy as np
import pytest

from jaxcnn.vis._segmentation import class_colours, segmentation_figure

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 3, (3, 8, 8))
NAMES = ("background", "a", "b")


def test_rows_are_images_truth_and_model() -> None:
    figure = segmentation_figure(IMAGES, LABELS, LABELS[::-1], NAMES, title="Title", count=2)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 6
    np.testing.assert_array_equal(shown[0], IMAGES[0])
    np.testing.assert_array_equal(shown[2], class_colours(3)[LABELS[0]])
    np.testing.assert_array_equal(shown[5], class_colours(3)[LABELS[1]])
    assert [text.get_text() for text in figure.texts] == ["image", "truth", "model", "Title"]


def test_grey_images_are_drawn_in_three_equal_colours() -> None:
    figure = segmentation_figure(IMAGES[..., :1], LABELS, LABELS, NAMES, title="Grey")
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), IMAGES[1, ..., [0, 0, 0]].transpose(1, 2, 0))


@pytest.mark.parametrize("count", [2, 11, 40])
def test_classes_have_colours_of_their_own(count: int) -> None:
    assert len({tuple(colour) for colour in class_colours(count).round(3)}) == count


@pytest.mark.parametrize(
    ("arrays", "options", "kind", "message"),
    [
        ((IMAGES, LABELS, LABELS), {"count": 0}, ValueError, "count=0 must be at least 1"),
        ((IMAGES / 255, LABELS, LABELS), {}, TypeError, "images must be uint8, not float64"),
        ((IMAGES[..., :2], LABELS, LABELS), {}, ValueError, "images must have the shape (n, height, width, 1 or 3)"),
        (
            (IMAGES, LABELS[:, 0], LABELS),
            {},
            ValueError,
            "labels must have a class for each pixel (3, 8, 8), not (3, 8)",
        ),
        ((IMAGES, LABELS, LABELS / 1), {}, TypeError, "predictions must have an integer dtype, not float64"),
        ((IMAGES, LABELS + 1, LABELS), {}, ValueError, "labels of 3 classes must be in 0..2, but are from 1 to 3"),
    ],
)
def test_refusals(arrays: tuple[np.ndarray, ...], options: dict[str, int], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        segmentation_figure(*arrays, NAMES, title="", **options)


def test_several_predictions_are_rows_and_pixels_without_a_label_are_dark() -> None:
    labels = np.where(LABELS == 2, 255, LABELS)
    steps = {"step 1": LABELS, "step 2": LABELS[::-1]}
    figure = segmentation_figure(IMAGES, labels, steps, NAMES, title="Steps", count=1)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert [text.get_text() for text in figure.texts] == ["image", "truth", "step 1", "step 2", "Steps"]
    np.testing.assert_array_equal(shown[1][LABELS[0] == 2], 0.2)
    np.testing.assert_array_equal(shown[3], class_colours(3)[LABELS[2]])
    assert [text.get_text() for text in figure.legends[0].texts] == [*NAMES, "no label"]
    labelled = segmentation_figure(IMAGES, LABELS, LABELS, NAMES, title="Labelled")
    assert [text.get_text() for text in labelled.legends[0].texts] == [*NAMES]
    with pytest.raises(ValueError, match=r"predictions\['b'\] of 3 classes must be in 0..2, but are from 1 to 3"):
        segmentation_figure(IMAGES, None, {"a": LABELS, "b": LABELS + 1}, NAMES, title="")
    with pytest.raises(ValueError, match="expected predictions, or several of them by name, got none"):
        segmentation_figure(IMAGES, LABELS, {}, NAMES, title="")


def test_classes_over_images() -> None:
    """Background and unlabelled pixels have the image's colours; in others, the class has a weight of 60 %."""
    labels = np.where(LABELS == 2, 255, LABELS)
    figure = segmentation_figure(IMAGES, None, labels, NAMES, title="Over", count=1, over_images=True)
    image, over = (np.asarray(axes.images[0].get_array()) for axes in figure.axes)
    plain = labels[0] != 1
    np.testing.assert_allclose(over[plain], image[plain] / 255)
    np.testing.assert_allclose(over[~plain], 0.4 * image[~plain] / 255 + 0.6 * class_colours(3)[1])
