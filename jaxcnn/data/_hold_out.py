"""A part of the training examples that selects settings and checkpoints."""

import dataclasses

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import Dataset


def hold_out(dataset: Dataset, *, one_in: int) -> Dataset:
    """The data set with every ``one_in``-th training example moved to the validation split.

    If settings and checkpoints are selected by the validation split, the figure of the test split is not biased.

    Args:
        dataset: without a validation split.
        one_in: 5 holds out a fifth; 0 holds out nothing, which gives the data set itself.

    Raises:
        TypeError: a data set that is not in memory.
        ValueError: ``one_in`` is 1, negative or more than the number of training examples, or there is a validation
            split already.

    >>> from jaxcnn.data._load import load
    >>> digits = hold_out(load("digits"), one_in=5)
    >>> len(digits.train), len(digits.validation), len(digits.test)
    (1150, 287, 360)
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"expected a Dataset, whose examples are in memory, not {type(dataset).__name__}. Read it by "
            f"data.in_memory, or give a StreamedDataset a validation split of its own: "
            f"dataclasses.replace(dataset, validation=...)."
        )
    train = dataset.train
    if as_int(one_in, name="one_in") == 0:
        return dataset
    if not 2 <= one_in <= len(train):
        raise ValueError(f"one_in={one_in} must be 0, or at least 2 and at most {len(train)}, the training examples.")
    if dataset.validation is not None:
        raise ValueError(f"{dataset.name} has a validation split already.")
    held = np.arange(len(train)) % one_in == one_in - 1
    return dataclasses.replace(dataset, train=train.take(~held), validation=train.take(held))
