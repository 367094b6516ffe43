"""The file format, against bytes written by hand and every way to damage them."""

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from jaxcnn.models.safetensors import read_safetensors, write_safetensors


def by_hand(path: Path, header: Any, data: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_bytes_written_by_hand(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]},
        "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
    }
    numbers = np.arange(6, dtype=ml_dtypes.bfloat16) / 4
    found = read_safetensors(by_hand(tmp_path / "x", header, numbers.tobytes() + struct.pack("<q", -7)))
    np.testing.assert_array_equal(found["a"].astype(np.float32), [[0, 0.25, 0.5], [0.75, 1, 1.25]])
    assert list(found) == ["b", "a"] and found["b"].shape == () and found["b"] == -7


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.uint8, np.bool_]
)
def test_what_was_written_is_read(tmp_path: Path, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 9, shape).astype(dtype) for name, shape in {"a.b": (2, 3), "c": (), "d": (0, 4)}.items()
    }
    write_safetensors({**arrays, "t": arrays["a.b"].T}, tmp_path / "x.safetensors")
    found = read_safetensors(tmp_path / "x.safetensors")
    assert list(found) == ["a.b", "c", "d", "t"]
    for name, array in {**arrays, "t": arrays["a.b"].T}.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_an_empty_file_of_tensors(tmp_path: Path) -> None:
    write_safetensors({}, tmp_path / "x")
    assert read_safetensors(tmp_path / "x") == {}


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    with pytest.raises(ValueError, match="is cut off or damaged: a of shape"):
        read_safetensors(by_hand(tmp_path / "x", {"a": entry}, bytes(7)))
    with pytest.raises(ValueError, match="is cut off or damaged: a of shape"):
        read_safetensors(by_hand(tmp_path / "x", {"a": {**entry, "shape": [3]}}, bytes(8)))
    with pytest.raises(ValueError, match="a has dtype F4; known are F64"):
        read_safetensors(by_hand(tmp_path / "x", {"a": {**entry, "dtype": "F4"}}, bytes(8)))
    (tmp_path / "x").write_bytes(b"PK\x03\x04 a zip file of PyTorch")
    with pytest.raises(ValueError, match=r"is no .safetensors file, or it is cut off"):
        read_safetensors(tmp_path / "x")
    (tmp_path / "x").write_bytes(struct.pack("<Q", 4) + b"oops")
    with pytest.raises(ValueError, match="its header is not JSON"):
        read_safetensors(tmp_path / "x")


def test_complex_numbers_have_no_place(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a has dtype complex64, which a .safetensors file cannot hold"):
        write_safetensors({"a": np.zeros(1, np.complex64)}, tmp_path / "x")
