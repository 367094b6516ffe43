"""A checksum for every array of a state, and a record of them with a checksum of its own.

Orbax writes no checksums: it would restore an array with a flipped bit without an error.
"""

import hashlib
import json
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxcnn.train._errors import DamageError, RunError

Record = dict[str, Any]


def named_leaves(tree: Any) -> dict[str, Any]:
    """Every leaf by its path.

    >>> named_leaves({"conv": {"kernel": 3}})
    {'conv/kernel': 3}
    """
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}


def _whole(array: Any) -> np.ndarray:
    """The whole array on the host, from all devices and processes. All processes must call this."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return np.asarray(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def _describe(array: Any) -> Record:
    return {"dtype": np.dtype(array.dtype).name, "shape": list(array.shape)}


def _checksum(array: Any) -> str:
    """SHA-256 over type, shape and bytes of the whole array, so that it is the same on any number of devices."""
    whole = np.ascontiguousarray(_whole(array))
    digest = hashlib.sha256(json.dumps(_describe(array)).encode())
    digest.update(whole.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def checksums(tree: Any) -> Record:
    """Type, shape and SHA-256 of every array, by its path."""
    return {path: _describe(leaf) | {"sha256": _checksum(leaf)} for path, leaf in named_leaves(tree).items()}


def check_arrays(arrays: Record, tree: Any) -> None:
    """Compares the arrays that were read with the checksums that were saved.

    Raises:
        DamageError: arrays differ; the message names them.
    """
    changed = [path for path, leaf in named_leaves(tree).items() if arrays[path]["sha256"] != _checksum(leaf)]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise DamageError(f"the checksum of {', '.join(changed[:3])}{more} is not the one that was saved")


def check_fits(arrays: Record, template: Any) -> None:
    """Compares the saved arrays with the expected ones, before an array is read.

    Raises:
        RunError: shapes, types or names differ; the message lists them.
    """
    wanted = {path: _describe(leaf) for path, leaf in named_leaves(template).items()}
    saved = {path: {"dtype": array["dtype"], "shape": array["shape"]} for path, array in arrays.items()}
    problems = [f"{path} was not saved" for path in wanted.keys() - saved.keys()]
    problems += [f"{path} is not in this model" for path in saved.keys() - wanted.keys()]
    problems += [
        f"{path} is {_spell(saved[path])} there but {_spell(wanted[path])} here"
        for path in wanted.keys() & saved.keys()
        if wanted[path] != saved[path]
    ]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise RunError("; ".join(sorted(problems)[:5]) + more)


def _spell(array: Record) -> str:
    return f"{array['dtype']}{array['shape']}"


def seal(content: Record) -> Record:
    """The content with a checksum of its own."""
    return content | {"sha256": _content_checksum(content)}


def check_seal(record: Any) -> Record:
    """The content of a sealed record.

    Raises:
        DamageError: the content has changed.
    """
    if not isinstance(record, dict) or "sha256" not in record:
        raise DamageError("its record has no checksum")
    content = {name: value for name, value in record.items() if name != "sha256"}
    if _content_checksum(content) != record["sha256"]:
        raise DamageError("its record of checksums is damaged itself")
    return content


def _content_checksum(content: Record) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
