"""Splits and data sets: what is refused, the moments against NumPy, the fingerprint."""

import re

import numpy as np
import pytest

from jaxcnn.data._arrays import Dataset, Split


def split(count: int = 6, *, shape: tuple[int, ...] = (5, 4, 3), classes: int = 3, seed: int = 0) -> Split:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, *shape), np.uint8)
    return Split(images, generator.permutation(np.arange(count) % classes))


def dataset(train: Split, test: Split, **options: object) -> Dataset:
    return Dataset(**{"name": "tiny", "train": train, "test": test, "class_names": ("a", "b", "c"), **options})


def test_a_split_has_a_length_and_int32_labels() -> None:
    made = split(7)
    assert len(made) == 7
    assert made.labels.dtype == np.int32
    assert dataset(made, split(3)).image_shape == (5, 4, 3)


@pytest.mark.parametrize(
    ("images", "labels", "kind", "message"),
    [
        ([[1]], np.zeros(1, int), TypeError, "Split: images must be a NumPy array, not list"),
        (np.zeros((1, 2, 2, 1), np.uint8), [0], TypeError, "Split: labels must be a NumPy array, not list"),
        (np.zeros((1, 2, 2, 1), np.float32), np.zeros(1, int), TypeError, "uint8 (0..255), not float32. Are they in"),
        (np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1), TypeError, "labels must have an integer dtype, not float64"),
        (np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, bool), TypeError, "labels must have an integer dtype, not bool"),
        (np.zeros((1, 2, 2), np.uint8), np.zeros(1, int), ValueError, "not (1, 2, 2). Grey images have one channel"),
        (np.zeros((2, 2, 2, 1), np.uint8), np.zeros(1, int), ValueError, "2 images require as many labels"),
        (np.zeros((2, 2, 2, 1), np.uint8), np.zeros((2, 1), int), ValueError, "the labels have the shape (2, 1)"),
        (np.zeros((0, 2, 2, 1), np.uint8), np.zeros(0, int), ValueError, "there is no pixel in images of the shape"),
        (np.zeros((1, 0, 2, 1), np.uint8), np.zeros(1, int), ValueError, "(1, 0, 2, 1)"),
        (np.zeros((2, 2, 2, 1), np.uint8), np.array([0, -1]), ValueError, "from 0, but run from -1 to 0"),
        (np.zeros((1, 2, 2, 1), np.uint8), np.array([2**32]), ValueError, "run from 4294967296 to 4294967296"),
    ],
)
def test_what_is_no_split(images: object, labels: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        Split(images, labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"class_names": ("a", "b")}, ValueError, "tiny: label 2 of the train images has no class: there are 2"),
        ({"test": split(4, shape=(4, 4, 3))}, ValueError, "(5, 4, 3) but test images are (4, 4, 3)"),
        ({"test": split(5, classes=5)}, ValueError, "label 4 of the test images has no class"),
        ({"class_names": "abc"}, TypeError, "class_names must be a tuple of strings, not 'abc'"),
        ({"class_names": (0, 1, 2)}, TypeError, "class_names must be a tuple of strings, not (0, 1, 2)"),
        ({"class_names": ("a", "b", "a")}, ValueError, "two classes are both called 'a'"),
    ],
)
def test_what_is_no_dataset(options: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        dataset(**{"train": split(), "test": split(3), **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [3, 1024, 2500])
def test_moments_are_those_of_numpy(count: int) -> None:
    made = dataset(split(count, seed=count), split(3))
    pixels = made.train.images.astype(np.float64) / 255
    np.testing.assert_allclose(made.mean, pixels.mean((0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(made.std, pixels.std((0, 1, 2)), rtol=1e-12)
    assert made.mean.dtype == made.std.dtype == np.float64


def test_moments_cancel_nothing() -> None:
    """One pixel in a million differs by one: the variance is p(1-p)/255**2, in every digit."""
    images = np.full((100, 100, 100, 1), 254, np.uint8)
    images[7, 7, 7, 0] = 255
    made = dataset(Split(images, np.zeros(100, int)), split(1, shape=(100, 100, 1)))
    assert made.std[0] == pytest.approx(np.sqrt(1e-6 * (1 - 1e-6)) / 255, rel=1e-15)


def test_the_fingerprint_sees_pixels_labels_order_and_shape_but_no_names() -> None:
    train, test = split(), split(3)
    first = dataset(train, test).fingerprint
    assert dataset(split(), split(3), name="other", class_names=("x", "y", "z")).fingerprint == first
    assert len(first) == 64
    pixel = train.images.copy()
    pixel[5, 4, 3, 2] ^= 1
    label = train.labels.copy()
    label[0] = (label[0] + 1) % 3
    others = [
        Split(pixel, train.labels),
        Split(train.images, label),
        Split(train.images[::-1], train.labels[::-1]),
        Split(train.images[:-1], train.labels[:-1]),
    ]
    marks = {dataset(other, test).fingerprint for other in others} | {dataset(test, train).fingerprint, first}
    assert len(marks) == 6
    turned = [Split(part.images.reshape(-1, 4, 5, 3), part.labels) for part in (train, test)]
    assert dataset(*turned).fingerprint != first


def test_the_fingerprint_does_not_depend_on_memory_order() -> None:
    train, test = split(), split(3)
    fortran = Split(np.asfortranarray(train.images), train.labels)
    assert dataset(fortran, test).fingerprint == dataset(train, test).fingerprint
