"""Digits on photographs: pixels labelled as ink contain ink, and held-out images appear nowhere else."""

import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._digits import digits
from jaxcnn.data._hold_out import hold_out
from jaxcnn.data._scenes import digit_scenes, enlarge, write


@pytest.fixture(scope="module")
def small() -> Dataset:
    return digits(16)


def test_labels_lie_where_the_photograph_was_written_over(small: Dataset) -> None:
    blank = Split(image=np.full((2, 8, 8, 3), 7, np.uint8), label=np.zeros(2, int))
    flat = Dataset(name="flat", train=blank, test=blank, class_names=("none",))
    scenes = digit_scenes(small, flat, size=32, train_count=40, test_count=20, seed=3)
    changed = (scenes.train["image"] != 7).any(-1)
    strokes = scenes.train["segmentation"] > 0
    assert not (strokes & ~changed).any()
    assert 0.05 < strokes.mean() < 0.4 and set(np.unique(scenes.train["segmentation"])) == set(range(11))
    counts = [len(np.unique(label)) - 1 for label in scenes.train["segmentation"]]
    assert min(counts) >= 1 and max(counts) == 4
    again = digit_scenes(small, flat, size=32, train_count=40, test_count=20, seed=3)
    other = digit_scenes(small, flat, size=32, train_count=40, test_count=20, seed=4)
    assert again.fingerprint == scenes.fingerprint != other.fingerprint
    strokes_only = digit_scenes(small, flat, size=32, train_count=40, test_count=20, seed=3, named=False)
    np.testing.assert_array_equal(strokes_only.train["segmentation"], strokes)
    np.testing.assert_array_equal(strokes_only.train["image"], scenes.train["image"])
    assert strokes_only.class_names == ("background", "stroke")
    assert scenes.licence == small.licence and scenes.class_names == ("background", *small.class_names)


@pytest.mark.parametrize("most", [1, 4])
def test_boxes_are_the_smallest_around_each_digit(small: Dataset, most: int) -> None:
    blank = Split(image=np.full((1, 8, 8, 3), 7, np.uint8))
    flat = Dataset(name="flat", train=blank, test=blank)
    scenes = digit_scenes(small, flat, size=32, train_count=40, test_count=1, seed=3, most=most).train
    assert scenes["boxes"].shape == (40, most, 4) and scenes["boxes"].dtype == np.float32
    assert set(np.count_nonzero(scenes["box_label"], -1)) == set(range(1, most + 1))
    for classes, boxes, labels in zip(scenes["segmentation"], scenes["boxes"], scenes["box_label"], strict=True):
        count = np.count_nonzero(labels)
        assert (labels[:count] > 0).all() and not labels[count:].any() and not boxes[count:].any()
        covered = np.zeros_like(classes, bool)
        for label, (x0, y0, x1, y1) in zip(labels[:count], boxes[:count].astype(int), strict=True):
            inside = classes[y0:y1, x0:x1] == label
            # The first and the last row and column of a digit contain strokes, unless a later digit covers them.
            edges = [inside[0], inside[-1], inside[:, 0], inside[:, -1]]
            assert all(edge.any() for edge in edges) or count > 1
            covered[y0:y1, x0:x1] = True
        assert not (classes > 0)[~covered].any()


def test_ink_covers_by_its_strength_and_names_only_what_is_dark() -> None:
    class Half:
        def uniform(self, low: float, high: float) -> float:
            return 0.5

        def integers(self, low: int, high: int, count: int) -> np.ndarray:
            return np.array([200, 0, 100])[:count]

    image, label = np.full((3, 3, 3), 100, np.uint8), np.zeros((3, 3), np.int32)
    ink = np.array([[255, 127], [128, 0]])
    write(image, label, ink, 5, np.array([0, 2]), Half())  # type: ignore[arg-type]  # its upper row falls off the scene
    assert label.tolist() == [[0, 5, 0], [0, 0, 0], [0, 0, 0]]
    share = 0.5 * 128 / 255
    assert image[0, 1].tolist() == [round(100 + share * 100), round(100 - share * 100), 100]
    assert (image.reshape(-1, 3)[[0, 2, 3, 4, 5, 6, 7, 8]] == 100).all()


def test_enlarging_is_that_of_pillow() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
    wanted = [np.asarray(Image.fromarray(image).resize((21, 21), Image.Resampling.BILINEAR)) for image in images]
    assert np.abs(enlarge(images, 21).astype(int) - np.stack(wanted)).max() <= 1
    assert enlarge(images[..., :1], 12).shape == (2, 12, 12, 3)


def test_refusals(small: Dataset) -> None:
    colour = Split(image=np.zeros((2, 8, 8, 3), np.uint8), label=np.zeros(2, int))
    photographs = Dataset(name="photos", train=colour, test=colour, class_names=("none",))
    for arguments, options, message in (
        ((photographs, small), {}, "digits must have one channel, but photos has 3"),
        ((small, photographs), {"size": 15}, "size=15 is under 16, the size of the digits"),
        ((small, photographs), {"test_count": 0}, "test_count=0 must be at least 1"),
        ((small, photographs), {"most": 5}, "most=5 must be from 1 to 4: there is at most one digit in each quarter"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            digit_scenes(*arguments, **{"train_count": 1, "test_count": 1, **options})  # type: ignore[arg-type]


def test_what_is_held_out_is_not_trained_on(small: Dataset) -> None:
    held = hold_out(small, one_in=4)
    assert held.validation is not None and held.test is small.test
    for name in ("image", "label"):
        np.testing.assert_array_equal(held.validation[name], small.train[name][3::4])
    assert len(held.train) + len(held.validation) == len(small.train)
    np.testing.assert_array_equal(held.train["image"][:4], small.train["image"][[0, 1, 2, 4]])
    for one_in in (1, 5000):
        with pytest.raises(ValueError, match=f"one_in={one_in} must be 0, or at least 2 and at most 1437"):
            hold_out(small, one_in=one_in)
    assert hold_out(small, one_in=0) is small
    with pytest.raises(ValueError, match="has a validation split already"):
        hold_out(held, one_in=4)


def test_scenes_of_held_out_digits_are_for_validation(small: Dataset) -> None:
    held = hold_out(small, one_in=4)
    for named in (True, False):
        scenes = digit_scenes(held, held, size=32, train_count=3, test_count=2, named=named)
        assert scenes.validation is not None and len(scenes.validation) == 2
        assert not np.array_equal(scenes.validation["image"], scenes.test["image"])
    assert digit_scenes(small, held, size=32, train_count=3, test_count=2).validation is None
