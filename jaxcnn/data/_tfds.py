"""Sets of tensorflow-datasets, read into memory without TensorFlow.

A prepared folder of any version is read, in the format array_record or in tfrecord, which TFDS writes by default. Where
mnist, fashion_mnist or cifar10 are not prepared, they are downloaded first.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn._error_context import error_context
from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._decode import decode_all, stack
from jaxcnn.data._images import fit, to_pixels
from jaxcnn.data._open_picture import open_picture
from jaxcnn.data._tfds_features import first_line, open_prepared
from jaxcnn.data._tfds_prepare import SOURCES, download_and_prepare
from jaxcnn.data._tfrecord import TFRecords

NAMES = tuple(SOURCES)
# A CIFAR-10 folder that was not prepared from the original archive may lack these.
_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Examples = Callable[[Sequence[int]], list[dict[str, Any]]]


def data_folder(data_dir: str | Path | None = None) -> Path:
    """The folder of prepared sets: the one given, else ``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_folder(name: str, root: Path) -> Path | None:
    """The newest version of a set below ``root``, such as ``root/mnist/3.0.1``; None where there is none.

    A name may have a configuration, such as ``emnist/letters``. Unfinished folders are passed over.
    """
    versions = {}
    for info in (root / name).glob("*/dataset_info.json"):
        parts = info.parent.name.split(".")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            versions[tuple(int(part) for part in parts)] = info.parent
    return versions[max(versions)] if versions else None


def check_root(root: Path) -> None:
    """Refuses a folder of one set in place of the folder of all sets.

    Raises:
        ValueError: it is the folder of one set.
    """
    if prepared_folder(root.name, root.parent):
        raise ValueError(
            f"{root} is the folder of one set; data_dir is the folder that holds it: --set data_dir={root.parent}"
        )


def is_prepared(name: str, *, data_dir: str | Path | None = None) -> bool:
    """Whether a set of tensorflow-datasets is on this machine, so that ``load`` reads it without a download.

    Args:
        name: the set, such as ``"mnist"``.
        data_dir: the folder of prepared sets; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    >>> is_prepared("mnist", data_dir="/nowhere")
    False
    """
    return prepared_folder(name, data_folder(data_dir)) is not None


def load_tfds(name: str, *, data_dir: str | Path | None = None, image_size: int | None = None) -> Dataset:
    """The images and labels of a TFDS set, decoded.

    Args:
        name: one of ``NAMES``, or any prepared set that has the features ``image`` and ``label``.
        data_dir: the folder of prepared sets; see ``data_folder``.
        image_size: height and width of all images, resized as by ``read_image``; None: their own.

    Raises:
        FileNotFoundError: the set is not prepared and cannot be prepared; the message says where it was searched for
            and what to do.
        ValueError: a folder that TFDS cannot open, is incomplete, or holds something other than labelled images.
    """
    root = data_folder(data_dir)
    folder = prepared_folder(name, root)
    if folder is None:
        check_root(root)
        try:
            download_and_prepare(name, root)
        except FileNotFoundError:
            if not prepared_folder(name, root):  # or else another process has been faster
                raise
        folder = prepared_folder(name, root)
    assert folder is not None, "TFDS has written it"
    builder = open_prepared(folder)
    names = split_names(builder, folder)
    splits = {ours: _read_split(builder, theirs, folder, image_size) for ours, theirs in names.items()}
    most = max(int(split["label"].max()) for split in splits.values())
    return Dataset(
        name=name,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        class_names=class_names(builder, name) or tuple(map(str, range(most + 1))),
        licence=SOURCES[name].licence if name in SOURCES else "",
        citation=builder.info.citation or "",
    )


def split_names(builder: Any, folder: Path) -> dict[str, str]:
    """TFDS's names of the splits ``train``, ``validation`` and ``test``.

    Without a ``test`` whose examples have labels, ``validation`` is the test split. ImageNet's test images have the
    label -1.
    """
    splits = builder.info.splits
    there = [split for split in ("train", "validation", "test") if split in splits]
    for split in there:
        for path in map(Path, splits[split].filepaths):
            if not path.exists():
                raise FileNotFoundError(f"{folder} is incomplete: {path.name} is missing. Copy the whole folder again.")
    if "validation" in there and not ("test" in there and _has_labels(builder, folder)):
        found = {"train": "train", "test": "validation"}
    else:
        found = {split: split for split in there}
    if "train" not in there or "test" not in found:
        raise ValueError(f"{folder} has the splits {sorted(splits)}: train and test (or validation) are required.")
    return found


def _has_labels(builder: Any, folder: Path) -> bool:
    """Whether the first test example has a label; True where it cannot be read, which is reported when it is used."""
    try:
        return int(open_examples(builder, "test", folder)([0])[0]["label"]) >= 0
    except Exception:  # readers of formats raise various exceptions
        return True


def class_names(builder: Any, name: str) -> tuple[str, ...] | None:
    """The names of the classes; if a set has only the number of classes, their indices."""
    feature = builder.info.features["label"]
    names = tuple(getattr(feature, "names", None) or ())
    if name == "cifar10" and names == tuple(map(str, range(10))):
        return _CIFAR10_CLASSES
    return names or tuple(map(str, range(getattr(feature, "num_classes", None) or 0))) or None


def _read_split(builder: Any, split: str, folder: Path, image_size: int | None) -> Split:
    channels = {1: 1, 3: 3, 4: 3}.get(builder.info.features["image"].shape[-1])
    count = builder.info.splits[split].num_examples
    examples = open_examples(builder, split, folder)
    labels = np.empty(count, np.int64)

    def name_of(place: int) -> str:
        return f"{folder} {split}[{place}]"

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        try:
            found = examples(range(start, stop))
        except Exception as error:  # readers of formats raise various exceptions
            raise ValueError(_unreadable(split, folder, first_line(error))) from error
        if not all(isinstance(example["image"], bytes) for example in found):
            # Of a damaged file, array_record gives empty records, without an error.
            raise ValueError(_unreadable(split, folder, "a record is empty"))
        return found

    def decode(start: int, stop: int) -> list[np.ndarray]:
        images = []
        for place, example in enumerate(read(start, stop), start):
            picture = open_picture(example["image"], name=name_of(place))
            pixels = to_pixels(picture, name=name_of(place), channels=channels)
            images.append(pixels if image_size is None else fit(pixels, (image_size, image_size)))
            labels[place] = example["label"]
        return images

    with error_context(builder.name):
        images = stack(decode_all(decode, count), name_of)
    return Split(image=images, label=labels)


def _unreadable(split: str, folder: Path, reason: str) -> str:
    return f"the {split} images in {folder} cannot be read ({reason}). Copy the whole folder again."


def open_examples(builder: Any, split: str, folder: Path) -> Examples:
    """A function that gives the examples of some indices, their pixels still encoded; for any thread.

    Raises:
        ValueError: the set is in another format than array_record and tfrecord, or a tfrecord file is damaged or cut.
    """
    import tensorflow_datasets as tfds

    # Videos are opened as sequences of encoded frames.
    encoded = {"image": tfds.decode.SkipDecoding()} if "image" in builder.info.features else {}
    kind = builder.info.file_format.value
    if kind == "array_record":
        return builder.as_data_source(split, decoders=encoded).__getitems__
    if kind == "tfrecord":
        records = TFRecords([Path(path) for path in builder.info.splits[split].filepaths])
        if len(records) != (count := builder.info.splits[split].num_examples):
            raise ValueError(
                f"{folder} is incomplete: it has {len(records)} {split} records of the {count} in dataset_info.json. "
                f"Copy the whole folder again."
            )
        parse = builder.info.features.deserialize_example_np
        return lambda indices: [parse(records[index], decoders=encoded) for index in indices]
    raise ValueError(f"{folder} is in the format {kind}; array_record and tfrecord are read. Prepare it again in one.")
