"""Streams of images in memory, so that tests can compare the images of a stream with the expected images."""

import time

import numpy as np

from jaxcnn.data import Dataset, Split, StreamedDataset, StreamedSplit


class Memory:
    """Images in memory, which can be made slow or partly damaged."""

    def __init__(self, split: Split, *, damaged: tuple[int, ...] = (), seconds: float = 0.0) -> None:
        self.split, self.damaged, self.seconds = split, damaged, seconds

    def __len__(self) -> int:
        return len(self.split)

    def name_of(self, index: int) -> str:
        return f"image {index}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        if index in self.damaged:
            raise ValueError(f"image {index} is damaged.")
        return {name: array[index] for name, array in self.split.arrays.items()}


def streamed(data: Dataset, *, max_corrupt: int = 100, **options: object) -> StreamedDataset:
    """A data set in memory as a stream."""

    def split(which: Split) -> StreamedSplit:
        classes = len(data.class_names)
        return StreamedSplit(Memory(which, **options), fields=which.fields, classes=classes, max_corrupt=max_corrupt)

    train, test = split(data.train), split(data.test)
    return StreamedDataset(
        name=data.name, train=train, test=test, class_names=data.class_names, fingerprint=data.fingerprint
    )
