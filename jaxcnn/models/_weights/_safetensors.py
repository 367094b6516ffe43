"""Files in the safetensors format, as NumPy arrays.

The reference implementation reads and writes them, and verifies the format strictly. Its NumPy functions are not used
for reading, since they do not support 8-bit floats.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from jaxcnn._files import replacing

_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
    "C64": np.complex64,
}
_SUPPORTED = {np.dtype(dtype) for dtype in _DTYPES.values()}


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name.

    Raises:
        ValueError: the file has another format or is damaged, a name is repeated, or a dtype is not supported.
    """
    content = Path(path).read_bytes()
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a .safetensors file, or it is damaged: {error}.") from None
    _check_names(path, content)
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{path}: {name!r} has dtype {entry['dtype']}; supported are {', '.join(_DTYPES)}.")
        tensors[name] = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def _check_names(path: str | Path, content: bytes) -> None:
    """Raises if the header repeats a name; the reference implementation uses the last."""

    def refuse(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{path} is not a .safetensors file, or it is damaged: its header has {twice!r} twice.")
        return found

    json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")], object_pairs_hook=refuse)


def write_safetensors(tensors: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes tensors by name to a file, which replaces an existing one when it is complete.

    Raises:
        TypeError: the format has no dtype for an array.
    """
    arrays = {
        name: np.asarray(tensor, order="C") for name, tensor in tensors.items()
    }  # save() requires C order and does not check it
    for name, array in arrays.items():
        if array.dtype.newbyteorder("=") not in _SUPPORTED:
            raise TypeError(f"{name!r} has dtype {array.dtype}, which a .safetensors file cannot hold.")
    with replacing(Path(path)) as file:
        file.write(safetensors.numpy.save(arrays, metadata={"format": "pt"}))
