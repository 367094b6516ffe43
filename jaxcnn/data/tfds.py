"""Sets of tensorflow-datasets, read into memory without TensorFlow.

A prepared folder is read as it is. Where there is none, TFDS downloads the archives and writes the folder; the parts
of its builders that need TensorFlow (unpacking, reading, encoding) are done here, so that the folder is the same.
"""

import io
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from jaxcnn.data.arrays import Dataset, Split
from jaxcnn.data.tfds_prepare import ARCHIVES, builder_class

NAMES = ("cifar10", "fashion_mnist", "mnist")
CONNECT_SECONDS = 10
CHUNK = 500


def data_folder(data_dir: str | None = None) -> Path:
    """Where prepared sets lie: the folder given, else ``$TFDS_DATA_DIR``, else TFDS's default in the home folder."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()


def load_tfds(name: str, *, data_dir: str | None = None) -> Dataset:
    """The ``train`` and ``test`` splits of a set, decoded as uint8.

    Raises:
        FileNotFoundError: the set is not prepared and cannot be downloaded; says where it was looked for.
    """
    folder = data_folder(data_dir)
    builder = _prepared(name, folder)
    if builder is None:
        prepare(name, folder)
        builder = _prepared(name, folder)
    if builder is None:
        raise FileNotFoundError(f"{name} was prepared in {folder}, but TFDS does not find it there.")
    import tensorflow_datasets as tfds

    encoded = {"image": tfds.decode.SkipDecoding()}
    return Dataset(
        name=name,
        train=_decode(builder.as_data_source("train", decoders=encoded)),
        test=_decode(builder.as_data_source("test", decoders=encoded)),
        class_names=tuple(builder.info.features["label"].names),
        citation=builder.info.citation,
    )


def prepare(name: str, folder: Path, *, download: Callable[[Any], Any] | None = None) -> None:
    """Downloads a set and writes it as a TFDS folder of array records.

    Args:
        name: one of ``NAMES``.
        folder: TFDS's data folder; nothing is left in it that looks prepared unless all went well.
        download: takes a tree of addresses and gives a tree of files; TFDS's own download unless given.

    Raises:
        FileNotFoundError: the archives cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        if download is None:
            _check_reachable(ARCHIVES[name])
        if not sys.stderr.isatty():
            tfds.disable_progress_bar()
        builder = builder_class(name, download)(data_dir=str(folder), file_format="array_record")
        # MNIST and Fashion-MNIST call their archives the same, so each set has a download folder of its own.
        builder.download_and_prepare(download_dir=str(folder / "downloads" / name))
    except (OSError, tfds.download.DownloadError) as error:
        raise FileNotFoundError(
            f"the data set {name} is not prepared in {folder / name}, and it could not be downloaded from "
            f"{ARCHIVES[name]} ({_first_line(error)}). Run this once on a machine with internet and copy the folder "
            f"{folder / name} here, or name the folder that holds it: --set data_dir=DIR, or TFDS_DATA_DIR."
        ) from error


def _prepared(name: str, folder: Path) -> Any:
    """TFDS's builder where the set is prepared, else None: TFDS's own complaint would be about another thing."""
    if not any((folder / name).glob("*/dataset_info.json")):
        return None
    import tensorflow_datasets as tfds

    return tfds.builder(name, data_dir=str(folder))


def _decode(source: Any) -> Split:
    """Every example of a random-access source of encoded images, decoded by several threads, in order."""
    import grain

    def decode(start: int) -> tuple[np.ndarray, np.ndarray]:
        examples = source.__getitems__(range(start, min(start + CHUNK, len(source))))
        images = [np.asarray(Image.open(io.BytesIO(example["image"]))) for example in examples]
        return np.stack(images), np.array([example["label"] for example in examples], np.int32)

    # A chunk at a time: one by one, the threads would spend their time on handing examples over.
    chunks = grain.MapDataset.range(0, len(source), CHUNK).map(decode)
    threads = min(16, os.cpu_count() or 1)
    images, labels = zip(*chunks.to_iter_dataset(grain.ReadOptions(num_threads=threads)), strict=True)
    stacked = np.concatenate(images)
    return Split(stacked if stacked.ndim == 4 else stacked[..., None], np.concatenate(labels))


def _check_reachable(address: str) -> None:
    """Fails within seconds where there is no network: TFDS would try again for minutes."""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
