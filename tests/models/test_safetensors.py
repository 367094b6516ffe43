"""The file format: bytes written by hand, and every kind of damage."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from jaxcnn.models._weights._safetensors import read_safetensors, write_safetensors


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
    assert found.keys() == {"a", "b"} and found["b"].shape == () and found["b"] == -7


KINDS = [*("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"), "int64", "uint16", "bool"]


@pytest.mark.parametrize("dtype", [*KINDS, "complex64"])
def test_what_was_written_is_read(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 9, shape).astype(dtype) for name, shape in {"a.b": (2, 3), "c": (), "d": (0, 4)}.items()
    }
    arrays |= {"t": arrays["a.b"].T, "part": arrays["a.b"][:, ::2]}
    write_safetensors(arrays, tmp_path / "x.safetensors")
    found = read_safetensors(tmp_path / "x.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_an_empty_file_of_tensors(tmp_path: Path) -> None:
    write_safetensors({}, tmp_path / "x")
    assert read_safetensors(tmp_path / "x") == {}


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
OTHER = {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}


@pytest.mark.parametrize(
    ("header", "size"),
    [
        pytest.param({"a": ENTRY}, 7, id="cut short"),
        pytest.param({"a": {**ENTRY, "shape": [3]}}, 8, id="shape"),
        pytest.param({"a": ENTRY}, 9, id="trailing byte"),
        pytest.param({"a": ENTRY, "b": ENTRY}, 8, id="alias"),
        pytest.param({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, 12, id="overlap"),
        pytest.param({"a": ENTRY, "b": {**ENTRY, "data_offsets": [12, 20]}}, 20, id="hole"),
        pytest.param({"a": {**ENTRY, "shape": [-2]}}, 8, id="negative"),
        pytest.param({"a": {**ENTRY, "shape": [2**63, 2**63]}}, 8, id="overflow"),
        pytest.param([1], 0, id="list"),
    ],
)
def test_what_the_reference_implementation_refuses(tmp_path: Path, header: Any, size: int) -> None:
    with pytest.raises(ValueError, match=r"x is not a .safetensors file, or it is damaged: .*"):
        read_safetensors(by_hand(tmp_path / "x", header, bytes(size)))


def test_names_that_are_there_twice(tmp_path: Path) -> None:
    entry = json.dumps(ENTRY)
    text = f'{{"a": {entry}, "a": {entry}}}'.encode()
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(ValueError, match="its header has 'a' twice"):
        read_safetensors(tmp_path / "x")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a zip file of PyTorch", struct.pack("<Q", 4) + b"oops", struct.pack("<Q", 2**40) + b"{}"],
    ids=["empty", "zip", "not JSON", "huge header"],
)
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"x is not a .safetensors file, or it is damaged: "):
        read_safetensors(tmp_path / "x")


def test_a_dtype_that_is_not_supported(tmp_path: Path) -> None:
    entry = {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}
    with pytest.raises(ValueError, match="'a' has dtype F8_E8M0; supported are F64"):
        read_safetensors(by_hand(tmp_path / "x", {"a": entry}, bytes(2)))
    with pytest.raises(TypeError, match=r"'a' has dtype complex128, which a .safetensors file cannot hold"):
        write_safetensors({"a": np.zeros(1, np.complex128)}, tmp_path / "x")


@pytest.mark.gate
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """In a process that may write files of 4 kB at most."""
    path = tmp_path / "x.safetensors"
    write_safetensors({"a": np.arange(3)}, path)
    code = f"""
import resource, signal, numpy as np
from jaxcnn.models._weights._safetensors import write_safetensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_safetensors({{"a": np.zeros(10_000)}}, {str(path)!r})
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"File too large\n"
    np.testing.assert_array_equal(read_safetensors(path)["a"], np.arange(3))
    assert [each.name for each in tmp_path.iterdir()] == ["x.safetensors"]
