"""The builders of tensorflow-datasets with what needs TensorFlow replaced: the folders they write are the same.

TFDS stores encoded bytes as they are, so images are given to it as PNG.
"""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Example = tuple[int, dict[str, Any]]

ARCHIVES = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
}
_IDX_FILES = {"train": "train", "test": "t10k"}
_CIFAR_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}


def builder_class(name: str, download: Callable[[Any], Any] | None = None) -> Any:
    """TFDS's builder class of a set, with its splits generated here.

    Args:
        name: a key of ``ARCHIVES``.
        download: takes a tree of addresses and gives a tree of files; TFDS's own download unless given.
    """
    from tensorflow_datasets.image_classification import cifar, mnist

    stock = {"mnist": mnist.MNIST, "fashion_mnist": mnist.FashionMNIST, "cifar10": cifar.Cifar10}[name]
    splits = _cifar_splits if name == "cifar10" else _idx_splits

    class Builder(stock, skip_registration=True):  # type: ignore[misc, valid-type, call-arg]
        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Example]]:
            return splits(self, download or dl_manager.download, ARCHIVES[name])

    Builder.name = name
    return Builder


def png(image: np.ndarray) -> io.BytesIO:
    """A uint8 image ``(height, width)`` or ``(height, width, 3)`` as a PNG file in memory."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    buffer.seek(0)
    return buffer


def read_idx(path: Path) -> np.ndarray:
    """The array in a gzipped IDX file of bytes: two zeros, type 8, rank, big-endian sizes, data.

    Raises:
        OSError: the file is not such a file, or is cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except EOFError as error:
        raise OSError(f"{path} is cut short; delete it and try again.") from error
    rank = raw[3] if raw[:3] == b"\0\0\x08" else 0
    shape = [int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank)]
    data = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if not rank or data.size != np.prod(shape):
        raise OSError(f"{path} is not a whole IDX file of bytes; delete it and try again.")
    return data.reshape(shape)


def _idx_splits(builder: Any, download: Callable[[Any], Any], address: str) -> dict[str, Iterator[Example]]:
    kinds = {"images": "images-idx3-ubyte.gz", "labels": "labels-idx1-ubyte.gz"}
    wanted = {
        (split, kind): f"{address}{stem}-{ending}"
        for split, stem in _IDX_FILES.items()
        for kind, ending in kinds.items()
    }
    files = dict(zip(wanted, download(list(wanted.values())), strict=True))

    def examples(split: str) -> Iterator[Example]:
        images, labels = (read_idx(Path(files[split, kind])) for kind in kinds)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": png(image), "label": int(label)}

    return {split: examples(split) for split in _IDX_FILES}


def _cifar_splits(builder: Any, download: Callable[[Any], Any], address: str) -> dict[str, Iterator[Example]]:
    with tarfile.open(Path(download(address))) as archive:
        members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}

        def read(name: str) -> bytes:
            file = archive.extractfile(members[name])
            assert file is not None  # it is a file: the list holds nothing else
            return file.read()

        builder.info.features["label"].names = read("batches.meta.txt").decode().split()
        rows = {split: b"".join(read(name) for name in names) for split, names in _CIFAR_FILES.items()}

    def examples(split: str) -> Iterator[Example]:
        # A row is a byte of label, then 3 planes of 32x32.
        for index, row in enumerate(np.frombuffer(rows[split], np.uint8).reshape(-1, 1 + 3 * 32 * 32)):
            image = np.ascontiguousarray(row[1:].reshape(3, 32, 32).transpose(1, 2, 0))
            yield index, {"id": f"{split}_{index:05d}", "image": png(image), "label": int(row[0])}

    return {split: examples(split) for split in _CIFAR_FILES}
