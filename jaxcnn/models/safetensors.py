"""Reading and writing ``.safetensors`` files with NumPy alone.

The format: eight bytes with the length of a header, the header in JSON (for each tensor its dtype, shape, and where
its bytes begin and end after the header), and then the bytes, little-endian and in row-major order.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, mapped into memory: bytes are read when they are used.

    Raises:
        ValueError: the file is cut off, or is no such file; or a tensor has a dtype that NumPy has not.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise ValueError(f"{path} is no .safetensors file, or it is cut off: its header would end after the file.")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError(f"{path} is no .safetensors file: its header is not JSON.") from error
    header.pop("__metadata__", None)
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length) if size > 8 + length else np.zeros(0, np.uint8)
    return {name: _tensor(path, name, entry, data) for name, entry in header.items()}


def _tensor(path: Path, name: str, entry: Mapping[str, Any], data: np.ndarray) -> np.ndarray:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{path}: {name} has dtype {entry['dtype']}; known are {', '.join(_DTYPES)}.")
    dtype, (start, stop) = np.dtype(_DTYPES[entry["dtype"]]), entry["data_offsets"]
    if not 0 <= start <= stop <= data.size or stop - start != math.prod(entry["shape"]) * dtype.itemsize:
        raise ValueError(f"{path} is cut off or damaged: {name} of shape {entry['shape']} has bytes {start} to {stop}.")
    return data[start:stop].view(dtype).reshape(entry["shape"])


def write_safetensors(tensors: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes tensors by name to a file.

    Raises:
        TypeError: the format has no dtype for an array.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    arrays, stop = [], 0
    for name, tensor in tensors.items():
        array = np.ascontiguousarray(tensor)
        if array.dtype not in _NAMES:
            raise TypeError(f"{name} has dtype {array.dtype}, which a .safetensors file cannot hold.")
        arrays.append(array)
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": np.shape(tensor),
            "data_offsets": [stop, stop := stop + array.nbytes],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin where a processor likes to read them
    with Path(path).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays:
            file.write(array.tobytes())
