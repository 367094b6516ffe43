"""A part of the training images to choose by, so that the test images are looked at once."""

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import Dataset, Split


def hold_out(dataset: Dataset, *, one_in: int) -> Dataset:
    """The data set in which every ``one_in``-th training image replaces the test images.

    Settings that are chosen by these images leave the figure on the test images honest.

    Args:
        dataset: whose test images are left out.
        one_in: 5 holds out a fifth.

    Raises:
        ValueError: ``one_in`` under 2, or more than there are training images.

    >>> from jaxcnn.data._load import load
    >>> digits = hold_out(load("digits"), one_in=5)
    >>> len(digits.train), len(digits.test)
    (1150, 287)
    """
    train = dataset.train
    if not 2 <= as_int(one_in, name="one_in") <= len(train):
        raise ValueError(f"one_in={one_in} must be at least 2 and at most {len(train)}, the training images.")
    held = [index % one_in == one_in - 1 for index in range(len(train))]
    kept = [not each for each in held]
    return Dataset(
        name=f"{dataset.name}, one training image in {one_in} held out",
        train=Split(train.images[kept], train.labels[kept]),
        test=Split(train.images[held], train.labels[held]),
        class_names=dataset.class_names,
        licence=dataset.licence,
        citation=dataset.citation,
    )
