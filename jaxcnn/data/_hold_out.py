"""A part of the training examples that selects settings and checkpoints."""

import dataclasses
from typing import Any, TypeVar

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import Dataset
from jaxcnn.data._sampled_content import digest
from jaxcnn.data._stream import StreamedDataset

DatasetT = TypeVar("DatasetT", Dataset, StreamedDataset)


def hold_out(dataset: DatasetT, *, one_in: int) -> DatasetT:
    """The data set with every ``one_in``-th training example moved to the validation split.

    If settings and checkpoints are selected by the validation split, the figure of the test split is not biased. Of a
    stream with several clips of each video, every ``one_in``-th video is moved with all of its clips.

    Args:
        dataset: without a validation split, in memory or streamed.
        one_in: 5 holds out a fifth; 0 holds out nothing, which gives the data set itself.

    Raises:
        TypeError: something that is not a data set.
        ValueError: ``one_in`` is 1, negative or more than the number of training examples or videos, there is a
            validation split already, or several clips of each video are in memory, where some may be left out.

    >>> from jaxcnn.data._load import load
    >>> digits = hold_out(load("digits"), one_in=5)
    >>> len(digits.train), len(digits.validation), len(digits.test)
    (1150, 287, 360)
    """
    if not isinstance(dataset, Dataset | StreamedDataset):
        raise TypeError(f"expected a Dataset or a StreamedDataset, not {type(dataset).__name__}.")
    train = dataset.train
    together, count = dataset.clips, len(train) // dataset.clips
    if as_int(one_in, name="one_in") == 0:
        return dataset
    if together > 1 and isinstance(dataset, Dataset):
        raise ValueError(
            f"{dataset.name} has {together} clips of each video in memory. Call hold_out before in_memory, so that all "
            f"clips of a video are in one split."
        )
    if not 2 <= one_in <= count:
        noun = "examples" if together == 1 else "videos"
        raise ValueError(f"one_in={one_in} must be 0, or at least 2 and at most {count}, the training {noun}.")
    if dataset.validation is not None:
        raise ValueError(f"{dataset.name} has a validation split already; one_in=0 keeps it.")
    held = np.repeat(np.arange(count) % one_in == one_in - 1, together)
    changes: dict[str, Any] = {
        "train": train.take(np.flatnonzero(~held)),
        "validation": train.take(np.flatnonzero(held)),
    }
    if isinstance(dataset, StreamedDataset):
        changes["fingerprint"] = digest([dataset.fingerprint, f"one in {one_in} held out, {together} together"])
    return dataclasses.replace(dataset, **changes)
