"""TFRecord files: files that TensorFlow wrote, and every kind of damage."""

import importlib.util
import re
from pathlib import Path

import pytest

from jaxcnn.data._tfrecord import TFRecords, masked_crc32c
from tests.data.conftest import as_tfrecords, checksum

RECORDS = [b"first", b"", b"x" * 300]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x").write_bytes(as_tfrecords(RECORDS))
    return tmp_path / "x"


def test_the_checksum_of_the_standard() -> None:
    """RFC 3720, B.4: 32 bytes of zeros have the CRC32C 0x8a9136aa; the mask is that of TensorFlow's crc32c.h."""
    crc = 0x8A9136AA
    assert masked_crc32c(bytes(32)) == (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
    assert all(masked_crc32c(record) == checksum(record) for record in RECORDS)


def test_a_file_of_tensorflow() -> None:
    """The file is part of Grain's own tests."""
    spec = importlib.util.find_spec("grain")
    assert spec is not None and spec.origin is not None
    file = Path(spec.origin).parent / "_src/python/testdata/morris_sequence_first_5.tfrecord"
    if not file.exists():
        pytest.skip("this release of Grain does not carry the file")
    records = TFRecords([file])
    assert [records[index] for index in range(len(records))] == [b"1", b"1 1", b"2 1", b"1 2 1 1", b"1 1 1 2 2 1"]


def test_several_files_are_read_one_after_another(path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "y").write_bytes(as_tfrecords([b"last"]))
    records = TFRecords([path, tmp_path / "empty", tmp_path / "y"])
    assert [records[index] for index in range(len(records))] == [*RECORDS, b"last"]
    assert len(TFRecords([tmp_path / "empty"])) == 0


@pytest.mark.parametrize("cut", [1, 3, 9, 310, -5, -11])
def test_a_file_cut_short(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=re.escape(f"{path} is cut short. Copy it again.")):
        TFRecords([path])


def test_no_flipped_bit_is_read(path: Path) -> None:
    """One bit in every third byte of the file is flipped: in the length, its checksum, the data and its checksum."""
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is (not a TFRecord file, or it is )?damaged: the .* does not match its"):
            read_all(path)


def read_all(path: Path) -> None:
    records = TFRecords([path])
    for index in range(len(records)):
        records[index]
