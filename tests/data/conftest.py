"""Small archives in the formats of MNIST and CIFAR-10, and a server for them."""

import dataclasses
import functools
import gzip
import http.server
import io
import struct
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import _tfds_prepare as tfds_prepare

MNIST_COUNTS = {"train": 150, "t10k": 20}  # more and fewer than are decoded at once
CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def idx(array: np.ndarray) -> bytes:
    """A gzipped IDX file of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    # Without a time, or the same array written a second later would be another file.
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes(), mtime=0)


def mnist_arrays() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(1998)
    return {
        stem: (generator.integers(0, 256, (count, 28, 28), np.uint8), generator.integers(0, 10, count).astype(np.uint8))
        for stem, count in MNIST_COUNTS.items()
    }


def write_mnist(folder: Path, arrays: dict[str, tuple[np.ndarray, np.ndarray]] | None = None) -> Path:
    for stem, (images, labels) in (arrays or mnist_arrays()).items():
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return folder


def cifar_rows() -> dict[str, np.ndarray]:
    """Rows as in the archive: a label, then the red, green and blue planes."""
    generator = np.random.default_rng(2009)
    rows = {f"data_batch_{number}.bin": generator.integers(0, 256, (4, 3073), np.uint8) for number in range(1, 6)}
    rows["test_batch.bin"] = generator.integers(0, 256, (6, 3073), np.uint8)
    for table in rows.values():
        table[:, 0] %= 10
    return rows


def write_cifar(folder: Path) -> Path:
    contents = {name: rows.tobytes() for name, rows in cifar_rows().items()}
    contents["batches.meta.txt"] = ("\n".join(CIFAR_CLASSES) + "\n\n").encode()
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder


def as_tfrecords(records: Sequence[bytes]) -> bytes:
    """Writes records as a TFRecord file."""
    return b"".join(
        length + checksum(length) + record + checksum(record)
        for length, record in ((struct.pack("<Q", len(record)), record) for record in records)
    )


def checksum(data: bytes) -> bytes:
    """The masked CRC32C, computed bit by bit from its polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@dataclasses.dataclass
class Internet:
    """A folder that a server on this machine provides, and the list of requests."""

    folder: Path
    address: str
    asked: list[str]


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """Redirects the addresses of the archives to this machine; everything else about a download is real."""
    folder = tmp_path / "internet"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form: str, *arguments: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    for name, source in tfds_prepare.SOURCES.items():
        monkeypatch.setitem(tfds_prepare.SOURCES, name, dataclasses.replace(source, address=address))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield Internet(folder, address, asked)
    server.shutdown()
    thread.join()
    server.server_close()
