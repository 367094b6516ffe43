"""Splits and data sets: errors, the moments against NumPy, and the fingerprint."""

import re

import numpy as np
import pytest

from jaxcnn.data._arrays import Dataset, Split


def split(count: int = 6, *, shape: tuple[int, ...] = (5, 4, 3), classes: int = 3, seed: int = 0) -> Split:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, *shape), np.uint8)
    return Split(image=images, label=generator.permutation(np.arange(count) % classes))


def dataset(train: Split, test: Split, **options: object) -> Dataset:
    return Dataset(**{"name": "tiny", "train": train, "test": test, "class_names": ("a", "b", "c"), **options})


def test_a_split_has_arrays_of_any_kind_by_name() -> None:
    """Time series, boxes with a mask, numeric targets: a split need not contain images."""
    arrays = {
        "series": np.zeros((7, 100, 2), np.float16),
        "boxes": np.zeros((7, 5, 4)),
        "present": np.ones((7, 5), bool),
        "target": np.arange(7.0),
        "label": np.arange(7),
    }
    made = Split(**arrays)
    assert len(made) == 7 and list(made) == list(arrays) and "boxes" in made and "image" not in made
    dtypes = {name: dtype.name for name, (_, dtype) in made.fields.items()}
    expected = {"series": "float16", "boxes": "float32", "present": "bool", "target": "float32", "label": "int32"}
    assert dtypes == expected
    assert made.fields["boxes"][0] == (5, 4)
    some = made.take(np.array([6, 0])).replace(extra=np.zeros(2, np.uint8))
    assert some["target"].tolist() == [6.0, 0.0] and "extra" in some


@pytest.mark.parametrize(
    ("given", "held"), [(">f4", "float32"), (">u2", "uint16"), (">i8", "int32"), ("<f8", "float32")]
)
def test_arrays_are_held_in_the_byte_order_of_the_machine(given: str, held: str) -> None:
    """JAX refuses other byte orders, which files of IDX and FITS have."""
    array = Split(target=np.arange(3).astype(given))["target"]
    assert array.dtype.isnative and array.dtype == held and array.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ({}, ValueError, "expected at least one array by name, such as Split(image=images, label=labels)"),
        ({"image": [[1]]}, TypeError, "image must be a NumPy array, not list; try np.asarray"),
        ({"label": np.array(["a"])}, TypeError, "label must be an array of numbers, not of dtype <U1"),
        ({"label": np.array([{}])}, TypeError, "label must be an array of numbers, not of dtype object"),
        ({"label": np.zeros(2, [("a", np.int32)])}, TypeError, "label must be an array of numbers, not of dtype [('a'"),
        ({"label": np.zeros(2, "m8[s]")}, TypeError, "label must be an array of numbers, not of dtype timedelta64[s]"),
        ({"x": np.ma.masked_array([1.0, 2.0], [0, 1])}, TypeError, "x is a masked array, whose mask would be lost"),
        ({"x": np.array([1e300, np.inf])}, ValueError, "held in 32 bits, up to 3.4e+38, but x has larger numbers"),
        ({"label": np.array(3)}, ValueError, "label must have one entry for each example, but its shape is ()"),
        (
            {"image": np.zeros((2, 2, 2, 1)), "label": np.zeros(3), "mask": np.zeros(2)},
            ValueError,
            "all of one length, but image has 2, label has 3, mask has 2",
        ),
        ({"image": np.zeros((0, 2, 2, 1), np.uint8)}, ValueError, "there is no example"),
        ({"label": np.array([2**32])}, ValueError, "label has the values 4294967296 to 4294967296"),
    ],
)
def test_what_is_no_split(arrays: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        Split(**arrays)  # type: ignore[arg-type]


def test_one_example_is_taken_as_a_list_of_one() -> None:
    """Without other arrays in the split, the rows of the image would be taken for examples."""
    images = Split(image=np.zeros((5, 4, 4, 1), np.uint8))
    for index in (2, np.int64(2), np.array([[0, 1]])):
        with pytest.raises(TypeError, match="take: expected a list of integers or a slice, got"):
            images.take(index)  # type: ignore[arg-type]
    assert images.take([2]).take(slice(1)).take(np.array([True])).fields == images.fields


def test_numbers_of_more_bits_are_held_in_32() -> None:
    held = Split(x=np.array([0.5, np.inf], np.longdouble), y=np.array([1, 2], np.complex128))
    assert held["x"].dtype == np.float32 and held["x"].tolist() == [0.5, np.inf] and held["y"].dtype == np.complex64


def test_a_missing_array_is_answered_by_those_that_are_there() -> None:
    with pytest.raises(ValueError, match=r"there is no array 'images', only 'image', 'label'\. Did you mean 'image'"):
        split()["images"]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"class_names": ("a", "b")}, ValueError, "tiny: label 2 of the train split has no class: there are 2"),
        ({"test": split(4, shape=(4, 4, 3))}, ValueError, "image is uint8[5, 4, 3] for each example of the train"),
        ({"test": split(5, classes=5)}, ValueError, "label 4 of the test split has no class"),
        ({"test": Split(label=np.array([0, -1]))}, ValueError, "train split has the arrays image, label, but the test"),
        ({"validation": split(5, classes=5)}, ValueError, "label 4 of the validation split has no class"),
        ({"class_names": "abc"}, TypeError, "class_names must be a tuple of strings, not 'abc'"),
        ({"class_names": (0, 1, 2)}, TypeError, "class_names must be a tuple of strings, not (0, 1, 2)"),
        ({"class_names": ("a", "b", "a")}, ValueError, "two classes are both called 'a'"),
    ],
)
def test_what_is_no_dataset(options: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        dataset(**{"train": split(), "test": split(3), **options})  # type: ignore[arg-type]


def test_a_negative_class_is_refused_and_numbers_without_classes_are_not() -> None:
    odd = split().replace(label=np.array([0, -1, 2, 0, 1, 2]))
    with pytest.raises(ValueError, match="label -1 of the train split has no class"):
        dataset(odd, split(3))
    assert dataset(odd, split(3), class_names=()).splits.keys() == {"train", "test"}
    shares = Split(image=split()["image"], label=np.full((6, 3), 1 / 3))
    dataset(shares, shares)


@pytest.mark.parametrize("count", [3, 1024, 2500])
def test_moments_are_those_of_numpy(count: int) -> None:
    made = dataset(split(count, seed=count), split(3))
    pixels = made.train["image"].astype(np.float64) / 255
    np.testing.assert_allclose(made.mean, pixels.mean((0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(made.std, pixels.std((0, 1, 2)), rtol=1e-12)
    assert made.mean.dtype == made.std.dtype == np.float64


def test_moments_of_floats_are_of_their_own_values() -> None:
    made = split(20)
    floats = [part.replace(image=7 * part["image"].astype(np.float32)) for part in (made, split(3))]
    np.testing.assert_allclose(dataset(*floats).mean, 7 * 255 * dataset(made, split(3)).mean, rtol=1e-6)
    np.testing.assert_allclose(dataset(*floats).std, 7 * 255 * dataset(made, split(3)).std, rtol=1e-6)


def test_moments_cancel_nothing() -> None:
    """One pixel in a million differs by one: the variance is p(1-p)/255**2 to every digit, without cancellation."""
    images = np.full((100, 100, 100, 1), 254, np.uint8)
    images[7, 7, 7, 0] = 255
    made = dataset(Split(image=images, label=np.zeros(100, int)), split(1, shape=(100, 100, 1)))
    assert made.std[0] == pytest.approx(np.sqrt(1e-6 * (1 - 1e-6)) / 255, rel=1e-15)


def test_the_fingerprint_sees_values_order_shapes_and_names_of_arrays() -> None:
    train, test = split(), split(3)
    first = dataset(train, test).fingerprint
    assert dataset(split(), split(3), name="other", class_names=("x", "y", "z")).fingerprint == first
    assert len(first) == 64
    pixel = train["image"].copy()
    pixel[5, 4, 3, 2] ^= 1
    label = train["label"].copy()
    label[0] = (label[0] + 1) % 3
    others = [
        train.replace(image=pixel),
        train.replace(label=label),
        train.take(slice(None, None, -1)),
        train.take(slice(-1)),
    ]
    marks = {dataset(other, test).fingerprint for other in others} | {dataset(test, train).fingerprint, first}
    assert len(marks) == 6
    turned = [part.replace(image=part["image"].reshape(-1, 4, 5, 3)) for part in (train, test)]
    renamed = [Split(picture=part["image"], label=part["label"]) for part in (train, test)]
    typed = [part.replace(label=part["label"].astype(np.int16)) for part in (train, test)]
    marks |= {dataset(*pair).fingerprint for pair in (turned, renamed, typed)}
    marks.add(dataset(train, test, validation=test).fingerprint)
    assert len(marks) == 10


def test_the_fingerprint_does_not_depend_on_memory_order() -> None:
    train, test = split(), split(3)
    fortran = train.replace(image=np.asfortranarray(train["image"]))
    assert dataset(fortran, test).fingerprint == dataset(train, test).fingerprint
