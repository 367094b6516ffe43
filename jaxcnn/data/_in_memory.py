"""A streamed data set as one in memory."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._decode import CHUNK, MOST_THREADS
from jaxcnn.data._stream import StreamedDataset, StreamedSplit


def in_memory(dataset: StreamedDataset) -> Dataset:
    """Reads all examples of a streamed data set, which is then held as arrays.

    Training from memory is faster, and ``mean`` and ``std`` of the images are known. Examples that cannot be read are
    left out, with a warning, where ``dataset`` allows any.

    Args:
        dataset: small enough for the memory of this machine and of the device.

    Raises:
        TypeError: something that is not streamed.
        ValueError: more examples cannot be read than ``dataset`` allows, or a class is out of range.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from jaxcnn.data import stream
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("ant", "bee"):
    ...     (root / name).mkdir()
    ...     for number in range(2):
    ...         Image.new("L", (8, 8), 51).save(root / name / f"{number}.png")
    >>> insects = in_memory(stream(f"folder:{root}", image_size=8, channels=1))
    >>> insects.train, insects.mean.round(3)
    (Split(image=uint8[2,8,8,1], label=int32[2]), array([0.2]))
    """
    if not isinstance(dataset, StreamedDataset):
        raise TypeError(
            f"expected a StreamedDataset, such as stream, voc and coco return, not {type(dataset).__name__}."
        )
    splits = {name: _read(split) for name, split in dataset.splits.items()}
    return Dataset(
        name=dataset.name,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        class_names=dataset.class_names,
        licence=dataset.licence,
        citation=dataset.citation,
        files=dataset.files,
    )


def _read(split: StreamedSplit) -> Split:
    """All examples of a split that can be read, by several threads."""
    count = len(split)
    arrays = {name: np.empty((count, *shape), dtype) for name, (shape, dtype) in split.fields.items()}
    good = np.zeros(count, bool)

    def read(start: int) -> None:
        rows = np.arange(start, min(start + CHUNK, count))
        batch = split.read(rows, replace=False)
        good[rows] = batch.good
        for name, array in arrays.items():
            array[rows] = batch.arrays[name]

    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        list(pool.map(read, range(0, count, CHUNK)))
    found = Split(**arrays)
    return found if good.all() else found.take(good)
