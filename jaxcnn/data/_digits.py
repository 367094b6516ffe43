"""The 1,797 handwritten digits that are part of the package (licence and source: ``digits.LICENSE.md``)."""

import gzip
import hashlib
from pathlib import Path

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn._error_context import error_context
from jaxcnn.data._arrays import Dataset, Split

FILE = Path(__file__).with_name("digits.csv.gz")
LICENCE = "CC BY 4.0"
CITATION = (
    "E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository. "
    "https://doi.org/10.24432/C50P49"
)
SIDE, INK = 8, 16  # the originals: 8x8 counts of ink, 0 to 16
TEST_COUNT = 360


@error_context("digits")
def digits(image_size: int = 32) -> Dataset:
    """The digits as grey images of ``image_size`` x ``image_size``, 1,437 for training and 360 for testing.

    The originals are enlarged by bilinear interpolation between pixel centres, in integers, so that every machine
    has the same bytes; ink 0 to 16 becomes 0 to 255, light on dark. 32 is the size that LeNet-5 reads.

    The split is fixed and stratified. The 360 test images are shared among the ten classes in proportion to their
    number (largest remainder); of each class, they are the images with the lowest SHA-256 of their place in the file
    and their pixels.

    Raises:
        TypeError: an ``image_size`` that is not an integer.
        ValueError: an ``image_size`` under 8.

    >>> data = digits()
    >>> data.train["image"].shape, data.test["image"].shape
    ((1437, 32, 32, 1), (360, 32, 32, 1))
    """
    if as_int(image_size, name="image_size") < SIDE:
        raise ValueError(f"image_size={image_size} is under {SIDE}, the size of the originals; LeNet-5 reads 32.")
    ink, labels = originals()
    images = enlarge(ink, image_size)
    test = held_out(ink, labels)
    return Dataset(
        name="digits",
        train=Split(image=images[~test], label=labels[~test]),
        test=Split(image=images[test], label=labels[test]),
        class_names=tuple(str(digit) for digit in range(10)),
        licence=LICENCE,
        citation=CITATION,
    )


def originals() -> tuple[np.ndarray, np.ndarray]:
    """The content of the file: ink ``(1797, 8, 8)`` from 0 to 16, and labels ``(1797,)``.

    >>> ink, labels = originals()
    >>> for row in ink[0]:
    ...     print("".join("-+#"[count // 6] for count in row))
    ---#+---
    --##+#--
    --#--++-
    --#--++-
    --+--++-
    --+--#+-
    --#-+#--
    --+#+---
    """
    with gzip.open(FILE, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int32)


def enlarge(ink: np.ndarray, image_size: int) -> np.ndarray:
    """Ink ``(n, 8, 8)`` as uint8 images ``(n, image_size, image_size, 1)``, bilinear, rounded half up.

    Output pixel ``i`` has its centre at ``((i + 1/2) * 8 / image_size) - 1/2`` of the original, clamped to the
    outermost centres. Multiplied by ``2 * image_size``, the centre and the weights of its two neighbours are integers:
    the sums below are exact, and only the last division rounds.
    """
    unit = 2 * image_size
    places = np.clip((2 * np.arange(image_size) + 1) * SIDE - image_size, 0, (SIDE - 1) * unit)
    weights = np.maximum(unit - np.abs(places[:, None] - unit * np.arange(SIDE)), 0)
    large = weights @ ink.astype(np.int64) @ weights.T
    whole = INK * unit * unit
    return ((2 * 255 * large + whole) // (2 * whole)).astype(np.uint8)[..., None]


def held_out(ink: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """True for the test images, by the rule that ``digits`` states."""
    counts = np.bincount(labels)
    shares, remainders = np.divmod(counts * TEST_COUNT, len(labels))
    shares[np.argsort(-remainders, kind="stable")[: TEST_COUNT - shares.sum()]] += 1
    hashes = np.array([hashlib.sha256(b"%d:" % place + image.tobytes()).hexdigest() for place, image in enumerate(ink)])
    chosen = np.zeros(len(labels), bool)
    for label, share in enumerate(shares):
        members = np.flatnonzero(labels == label)
        chosen[members[np.argsort(hashes[members])[:share]]] = True
    return chosen
