"""A streamed data set as one in memory."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxcnn.data._arrays import IGNORED, Dataset, Split
from jaxcnn.data._decode import CHUNK, MOST_THREADS
from jaxcnn.data._stream import StreamedDataset, StreamedSplit

log = logging.getLogger("jaxcnn")


def in_memory(dataset: StreamedDataset) -> Dataset:
    """Reads all examples of a streamed data set, which is then held as arrays.

    Training from memory is faster, and ``mean`` and ``std`` of the images are known. Examples that cannot be read are
    left out, with a warning, where ``dataset`` allows any. A warning names classes that no pixel of the label maps of
    the training split has.

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
    _warn_of_absent_classes(dataset, splits["train"])
    return Dataset(
        name=dataset.name,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        class_names=dataset.class_names,
        clips=dataset.clips,
        resize=dataset.resize,
        licence=dataset.licence,
        citation=dataset.citation,
        files=dataset.files,
    )


def _warn_of_absent_classes(dataset: StreamedDataset, train: Split) -> None:
    if "segmentation" not in train:
        return
    counts = np.zeros(256, np.int64)
    for classes in train["segmentation"]:
        counts += np.bincount(classes.ravel(), minlength=256)
    if absent := [name for label, name in enumerate(dataset.class_names) if not counts[label]]:
        log.warning(
            "no pixel of the train split of %s has the class %s; %.0f %% of its pixels have no label (%d). The class "
            "of each value or colour of label maps can be given, such as label_maps(..., values={255: 1}).",
            dataset.name,
            ", ".join(map(repr, absent[:5])) + (", ..." if len(absent) > 5 else ""),
            100 * counts[IGNORED] / counts.sum(),
            IGNORED,
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
