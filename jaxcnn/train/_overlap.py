"""Examples that are in both the training and the validation split, which bias the figures of the latter."""

import numpy as np

from jaxcnn.data import Dataset, Split
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports import log

# The largest number of entries of each array of an example that are hashed, and of examples that are compared.
ENTRIES, MOST = 1024, 500_000

_SHARED = (
    "%d of the %d validation examples are in the training split too (the first is validation example %d, which is "
    "training example %d). The measures val/... look better than they would on new examples. Remove them from one of "
    "the splits."
)


def warn_of_overlap(experiment: Experiment) -> None:
    """Warns of validation examples in memory that are also training examples."""
    data = experiment.data
    if isinstance(data, Dataset) and data.validation is not None:
        pairs = shared(data.train, data.validation)
        if pairs:
            log.warning(_SHARED, len(pairs), len(data.validation), *reversed(pairs[0]))


def shared(train: Split, validation: Split) -> list[tuple[int, int]]:
    """The validation examples that equal a training example, as pairs of places in ``(train, validation)``.

    The images or videos are compared where there are some, otherwise the arrays of other names than ``label``. Evenly
    spaced entries of all examples are compared by hash, and equal ones then entry by entry.
    """
    names = [name for name in ("image", "video") if name in train] or [name for name in train if name != "label"]
    if not names:
        return []
    places = {key: place for place, key in reversed(list(enumerate(_keys(train, names, MOST))))}
    found = [(places.get(key), place) for place, key in enumerate(_keys(validation, names, MOST))]
    return [
        (left, right)
        for left, right in found
        if left is not None and all(np.array_equal(train[name][left], validation[name][right]) for name in names)
    ]


def _keys(split: Split, names: list[str], most: int) -> list[int]:
    """A hash of evenly spaced entries of each example."""
    parts = []
    for name in names:
        rows = split[name][:most].reshape(min(len(split), most), -1)
        part = rows[:, :: max(1, -(-rows.shape[1] // ENTRIES))]
        parts.append(np.ascontiguousarray(part).view(np.uint8).reshape(len(rows), -1))
    entries = np.concatenate(parts, axis=1)
    return [hash(row.tobytes()) for row in entries]
