"""The digits that the package contains: their source, their splits, and how they are enlarged."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import _digits as module
from jaxcnn.data._arrays import Dataset
from jaxcnn.data._digits import digits, enlarge, originals


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


def test_the_file_is_the_published_one() -> None:
    """The counts of all classes equal those that UCI states, and the first line is the well-known zero."""
    ink, labels = originals()
    assert ink.shape == (1797, 8, 8)
    assert (ink.min(), ink.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert labels[:10].tolist() == list(range(10))
    assert ink[0, :3].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0], [0, 3, 15, 2, 0, 11, 8, 0]]
    assert ink.astype(int).sum() == 561718


def test_the_licence_lies_beside_the_file_and_names_it() -> None:
    text = Path(module.FILE).with_name("digits.LICENSE.md").read_text(encoding="utf-8")
    assert hashlib.sha256(module.FILE.read_bytes()).hexdigest() in text
    assert "CC BY 4.0" in text and "10.24432/C50P49" in text and "Alpaydin" in text
    assert module.LICENCE in text


def test_sizes_and_names(data: Dataset) -> None:
    assert data.train["image"].shape == (1437, 32, 32, 1)
    assert data.test["image"].shape == (360, 32, 32, 1)
    assert data.train["image"].dtype == np.uint8
    assert data.class_names == tuple("0123456789")
    assert "10.24432/C50P49" in data.citation and data.licence == "CC BY 4.0"


def test_the_split_is_stratified_and_divides_the_file(data: Dataset) -> None:
    _, labels = originals()
    test = np.bincount(data.test["label"], minlength=10)
    assert np.abs(test - np.bincount(labels) * 360 / 1797).max() < 1
    np.testing.assert_array_equal(np.bincount(data.train["label"]) + test, np.bincount(labels))
    both = {image.tobytes() for split in (data.train, data.test) for image in split["image"]}
    assert len(both) == 1797, "no image is in both parts, nor twice in one"


def test_the_data_never_change(data: Dataset) -> None:
    """Recorded runs must be able to load the same images again."""
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(repr(split["image"].shape).encode())
        digest.update(split["image"].tobytes() + split["label"].astype("<i4").tobytes())
    assert digest.hexdigest() == "7c5072aa7bc693061851ea47880b96f76fe81194d38a82fe849907347e381c84"
    assert data.fingerprint == "8cacba0c1b1f9ee163c0a1619266c8e2143649aa231067a458667850a125bdfb"
    assert data.mean[0] == pytest.approx(0.30545529, abs=1e-8)
    assert data.std[0] == pytest.approx(0.32363141, abs=1e-8)


def bilinear(image: np.ndarray, row: float, column: float) -> float:
    """The value at a position relative to pixel centres; beyond the outermost centres, the nearest value."""
    top, left = int(np.floor(row)), int(np.floor(column))
    total = 0.0
    for r, wr in ((top, 1 - (row - top)), (top + 1, row - top)):
        for c, wc in ((left, 1 - (column - left)), (left + 1, column - left)):
            total += wr * wc * image[min(max(r, 0), 7), min(max(c, 0), 7)]
    return total


@pytest.mark.parametrize("size", [8, 9, 13, 28, 32, 33])
def test_enlarging_is_bilinear_between_centres(size: int) -> None:
    ink = np.random.default_rng(size).integers(0, 17, (2, 8, 8)).astype(np.uint8)
    expected = np.empty((2, size, size))
    for index, image in enumerate(ink):
        for row in range(size):
            for column in range(size):
                place = [(i + 0.5) * 8 / size - 0.5 for i in (row, column)]
                expected[index, row, column] = bilinear(image, *place) * 255 / 16
    found = enlarge(ink, size)
    assert found.shape == (2, size, size, 1) and found.dtype == np.uint8
    assert np.abs(found[..., 0] - expected).max() <= 0.5 + 1e-9


def test_at_their_own_size_only_the_scale_changes() -> None:
    ink = np.arange(64).reshape(1, 8, 8) % 17
    np.testing.assert_array_equal(enlarge(ink, 8)[..., 0], np.floor(ink * 255 / 16 + 0.5))


def test_a_size_that_loses_ink_is_refused() -> None:
    with pytest.raises(
        ValueError, match="digits: image_size=7 is under 8, the size of the originals; LeNet-5 reads 32"
    ):
        digits(7)
    with pytest.raises(TypeError, match=re.escape("digits: image_size must be an integer, not 32.0")):
        digits(32.0)  # type: ignore[arg-type]
