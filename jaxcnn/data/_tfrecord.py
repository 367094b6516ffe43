"""The records of TFRecord files, without TensorFlow.

A record is its length (8 bytes, little-endian), the masked CRC32C of these 8 bytes, the data, and the masked CRC32C of
the data. Source: TensorFlow, ``tensorflow/core/lib/io/record_writer.h``.
"""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import google_crc32c
import numpy as np

_HEADER = struct.Struct("<QI")


class TFRecords:
    """The records of several files in their order; each is read when it is indexed, by any thread.

    Raises:
        ValueError: a file ends within a record, or the length of a record does not match its checksum.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._places = np.array(
            [place for file, path in enumerate(self._paths) for place in _places(file, path)], np.int64
        ).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        """A record.

        Raises:
            ValueError: it does not match its checksum.
        """
        file, start, length = self._places[index].tolist()
        path = self._paths[file]
        with path.open("rb") as handle:
            data = os.pread(handle.fileno(), length + 4, start)
        if len(data) < length + 4 or data[length:] != masked_crc32c(data[:length]):
            raise ValueError(
                f"{path} is damaged: the record at byte {start} does not match its checksum. Copy it again."
            )
        return data[:length]


def _places(number: int, path: Path) -> list[tuple[int, int, int]]:
    """The number of the file, and the start and length of each record."""
    places, start, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while start < size:
            header = os.pread(file.fileno(), _HEADER.size, start)
            if len(header) < _HEADER.size:
                raise _cut_short(path)
            length, _ = _HEADER.unpack(header)
            if header[8:] != masked_crc32c(header[:8]):
                raise ValueError(
                    f"{path} is not a TFRecord file, or it is damaged: the length at byte {start} does not match its "
                    f"checksum. Copy it again."
                )
            places.append((number, start + _HEADER.size, length))
            start += _HEADER.size + length + 4
    if start > size:
        raise _cut_short(path)
    return places


def _cut_short(path: Path) -> ValueError:
    return ValueError(f"{path} is cut short. Copy it again.")


def masked_crc32c(data: bytes) -> bytes:
    """The checksum that TFRecord files store: CRC32C, rotated by 15 bits, plus a constant.

    >>> masked_crc32c(b"123456789").hex()
    'e5b08ac7'
    """
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
