"""The builders of tensorflow-datasets without TensorFlow: the folders they write are the same.

TFDS needs TensorFlow to unpack archives, to read them, and to encode images. Here its download manager fetches (and
checks) the archives, they are read in plain Python, and images are given as PNG bytes, which TFDS stores as they are.
"""

import contextlib
import dataclasses
import gzip
import io
import os
import re
import shutil
import socket
import sys
import tarfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

Example = tuple[int, dict[str, Any]]
Splits = dict[str, Iterator[Example]]
CONNECT_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Source:
    """The source of a set: the address of its archives, their names, and the function that reads them."""

    address: str
    archives: tuple[str, ...]
    splits: Callable[[Any, dict[str, Path]], Splits]
    licence: str = ""


def download_and_prepare(name: str, root: Path) -> None:
    """Downloads a set and writes it below ``root``, as TFDS does; if it fails, no folder that looks prepared remains.

    Archives in ``root/downloads/NAME/manual`` are taken from there, and then no network is needed. TFDS checks
    their SHA-256 either way.

    Raises:
        FileNotFoundError: the archives cannot be downloaded; the message says where the set was searched for,
            why, and what to do.
        ValueError: an archive has unexpected content.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.utils import tqdm_utils

    source = SOURCES[name]
    # MNIST and Fashion-MNIST use the same names for their archives, so each set has a separate download folder.
    downloads = root / "downloads" / name
    made = [folder for folder in (downloads.parent, root / name, root, *root.parents) if not folder.exists()]
    bars = tqdm_utils._active
    try:
        if not any(path.is_file() for path in downloads.rglob("*")):
            _check_reachable(source.address)
        tqdm_utils.display_progress_bar(bars and sys.stderr.isatty())
        builder = builder_class(name)(data_dir=str(root), file_format="array_record")
        # TFDS would first query Google's cloud for a prepared copy, whose format requires TensorFlow.
        settings = tfds.download.DownloadConfig(try_download_gcs=False)
        with contextlib.redirect_stdout(sys.stderr):  # TFDS prints; what jaxcnn prints may be JSON
            builder.download_and_prepare(download_dir=str(downloads), download_config=settings)
    except (OSError, tfds.download.DownloadError) as error:
        raise FileNotFoundError(_how_to_get(name, root, downloads, error)) from error
    finally:
        tqdm_utils.display_progress_bar(bars)
        _clean_up(downloads, made)


def builder_class(name: str) -> Any:
    """TFDS's builder class of a set, with its splits generated here."""
    import tensorflow_datasets as tfds

    source, stock = SOURCES[name], tfds.builder_cls(name)

    class Builder(stock, skip_registration=True):  # type: ignore[misc, valid-type, call-arg]
        def _split_generators(self, dl_manager: Any) -> Splits:
            paths = dl_manager.download({archive: source.address + archive for archive in source.archives})
            return source.splits(self, {archive: Path(path) for archive, path in paths.items()})

    Builder.name = name
    return Builder


def read_idx(path: Path, *, rank: int) -> np.ndarray:
    """The array of bytes in a gzipped IDX file: two zeros, type 8, the rank, the sizes (big-endian), the data.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database", section on file formats.

    Raises:
        ValueError: the file is something else, or is cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and try again.") from None
    shape = [int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank)]
    if raw[:4] != bytes([0, 0, 8, rank]) or len(raw) != 4 + 4 * rank + np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path} is not an IDX file of {rank} axes, or not a whole one. Delete it and try again.")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def png(image: np.ndarray) -> io.BytesIO:
    """A uint8 image ``(height, width)`` or ``(height, width, 3)`` as a PNG file in memory."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    buffer.seek(0)
    return buffer


def _idx_splits(builder: Any, archives: dict[str, Path]) -> Splits:
    def examples(stem: str) -> Iterator[Example]:
        images = read_idx(archives[f"{stem}-images-idx3-ubyte.gz"], rank=3)
        labels = read_idx(archives[f"{stem}-labels-idx1-ubyte.gz"], rank=1)
        if len(images) != len(labels):
            raise ValueError(f"{stem}: there are {len(images)} images but {len(labels)} labels. Delete the archives.")
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": png(image), "label": int(label)}

    return {"train": examples("train"), "test": examples("t10k")}


def _cifar10_splits(builder: Any, archives: dict[str, Path]) -> Splits:
    (path,) = archives.values()
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                if member.isfile() and (file := archive.extractfile(member)):
                    files[Path(member.name).name] = file.read()
        names = files["batches.meta.txt"].decode().split()
        train = b"".join(files[f"data_batch_{number}.bin"] for number in range(1, 6))
        rows = {
            split: np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
            for split, raw in (("train", train), ("test", files["test_batch.bin"]))
        }
    except (tarfile.TarError, EOFError, zlib.error, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a whole CIFAR-10 archive ({error}). Delete it and try again.") from None
    builder.info.features["label"].names = names

    def examples(split: str) -> Iterator[Example]:
        # A row is a byte of label, then the red, the green and the blue plane of 32x32.
        for index, row in enumerate(rows[split]):
            image = np.ascontiguousarray(row[1:].reshape(3, 32, 32).transpose(1, 2, 0))
            yield index, {"id": f"{split}_{index:05d}", "image": png(image), "label": int(row[0])}

    return {split: examples(split) for split in rows}


_IDX_ARCHIVES = tuple(
    f"{stem}-{kind}-ubyte.gz" for stem in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
SOURCES = {
    "mnist": Source(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        _IDX_ARCHIVES,
        _idx_splits,
        "CC BY-SA 3.0",
    ),
    "fashion_mnist": Source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        _IDX_ARCHIVES,
        _idx_splits,
        "MIT",
    ),
    "cifar10": Source("https://www.cs.toronto.edu/~kriz/", ("cifar-10-binary.tar.gz",), _cifar10_splits),
}


def _check_reachable(address: str) -> None:
    """Fails within seconds where there is no network: TFDS tries ten times, and waits without limit for an answer."""
    parts = urlsplit(address)
    if parts.scheme not in urllib.request.getproxies():  # a proxy is connected to, and resolves names, differently
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()


def _how_to_get(name: str, root: Path, downloads: Path, error: Exception) -> str:
    source = SOURCES[name]
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"{name} is not prepared: there is no {root / name} with a version in it, and downloading from "
        f"{source.address} failed ({reason}). If the set is elsewhere, name the folder that holds {name}/: "
        f"--set data_dir=DIR, or the environment variable TFDS_DATA_DIR. Otherwise load it once on a machine with "
        f"internet and copy that machine's {name} folder to {root / name}; or put {', '.join(source.archives)} "
        f"into {downloads / 'manual'}."
    )


def _clean_up(downloads: Path, made: list[Path]) -> None:
    """Removes the remains of a failed download: unfinished files, and new folders that are empty."""
    folders = sorted((Path(folder) for folder, _, _ in os.walk(downloads)), reverse=True)
    for folder in folders:
        if re.search(r"\.tmp\.[0-9a-f]+$", folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in [*folders, *made]:
        # One that holds something cannot be removed, and a thread of TFDS may remove another one at the same time.
        with contextlib.suppress(OSError):
            folder.rmdir()
