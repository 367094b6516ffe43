"""State dicts of PyTorch as NumPy arrays by name, without the wrappers and prefixes of training scripts."""

import collections
import dataclasses
import importlib
import pickle
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.models._weights._safetensors import read_safetensors

SAFETENSORS = ".safetensors"
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
STATE_DICT = "model.state_dict()"  # in PyTorch, the tensors of a model by name
# Parts of names from wrappers of submodules: torch.compile, FSDP, activation checkpoints.
_INFIXES = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


@dataclasses.dataclass(frozen=True)
class StateDict:
    """Tensors by name.

    Attributes:
        tensors: the arrays.
        removed: what was removed, as sentences; empty for a plain state dict.
    """

    tensors: dict[str, np.ndarray]
    removed: str


def read_state_dict(source: str | Path | Mapping[str, Any], known: Collection[str]) -> StateDict:
    """The tensors of a file, or of a mapping, under the names of a model.

    The nested mapping and the prefix with the most known names are selected. Ties are resolved in favour of names
    without ``ema``, then of the first.

    Args:
        source: a ``.safetensors`` file; a file of PyTorch, which requires PyTorch; or a mapping.
        known: the possible names of the model's tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another suffix, is damaged, or contains more than tensors.
        TypeError: a value is not a tensor.
        ImportError: the file requires PyTorch, which is not installed.
    """
    if hasattr(source, "state_dict"):
        raise TypeError(f"expected a file or tensors by name, but got a model of PyTorch; pass {STATE_DICT}.")
    state = source if isinstance(source, Mapping) else _read(Path(source))
    removed: list[str] = []
    state = _unwrapped(state, known, removed)
    state = _without_prefix(state, known, removed)
    strange = {name: value for name, value in state.items() if not (isinstance(name, str) and _is_tensor(value))}
    if strange:
        kinds = ", ".join(f"{name!r} is of type {type(value).__name__}" for name, value in list(strange.items())[:5])
        raise TypeError(f"expected tensors by name, but {kinds}. Pass a state dict, as {STATE_DICT} gives it.")
    return StateDict({name: _array(value) for name, value in state.items()}, " ".join(removed))


def _unwrapped(state: Any, known: Collection[str], removed: list[str]) -> Mapping[Any, Any]:
    if not isinstance(state, Mapping):
        raise TypeError(f"expected tensors by name, but got a {type(state).__name__}.")
    inner = {key: value for key, value in state.items() if isinstance(value, Mapping)}
    scores = {key: _score(value, known) for key, value in inner.items()}
    if not inner or _own_score(state, known) >= max(scores.values()):
        return state
    chosen = min(inner, key=lambda key: (-scores[key][0], "ema" in str(key), -scores[key][1]))
    others = ", ".join(repr(key) for key in state if key != chosen)
    removed.append(f"Took {chosen!r}" + (f" and left out {others}." if others else "."))
    return _unwrapped(inner[chosen], known, removed)


def _score(state: Mapping[Any, Any], known: Collection[str]) -> tuple[int, int]:
    """The numbers of known names and of tensors of a mapping, or of the best of its nested mappings."""
    inner = [_score(value, known) for value in state.values() if isinstance(value, Mapping)]
    return max([_own_score(state, known), *inner])


def _own_score(state: Mapping[Any, Any], known: Collection[str]) -> tuple[int, int]:
    tensors = [name for name, value in state.items() if isinstance(name, str) and _is_tensor(value)]
    return max(_prefixes(tensors, known).values(), default=0), len(tensors)


def _without_prefix(state: Mapping[Any, Any], known: Collection[str], removed: list[str]) -> dict[Any, Any]:
    plain = {_without_infixes(name): value for name, value in state.items()}
    if plain.keys() != state.keys():
        removed.append(f"Removed {', '.join(repr(part) for part in _INFIXES if any(part in str(n) for n in state))}.")
    counts = _prefixes([name for name in plain if isinstance(name, str)], known)
    prefix = min(counts, key=lambda each: (-counts[each], "ema" in each, len(each)), default="")
    if not prefix:
        return plain
    others = [repr(name) for name in plain if not str(name).startswith(prefix)]
    left_out = f" and left out {', '.join(others[:5])}{' and more' if len(others) > 5 else ''}" if others else ""
    removed.append(f"Removed the prefix {prefix!r}{left_out}.")
    return {name.removeprefix(prefix): value for name, value in plain.items() if str(name).startswith(prefix)}


def _prefixes(names: list[str], known: Collection[str]) -> collections.Counter[str]:
    """The number of known names after each prefix."""
    return collections.Counter(
        name[:start] for name in map(_without_infixes, names) for start in _starts(name) if name[start:] in known
    )


def _starts(name: str) -> Iterator[int]:
    """The positions in a name at which a component begins."""
    yield 0
    yield from (index + 1 for index, character in enumerate(name) if character == ".")


def _without_infixes(name: Any) -> Any:
    for infix in _INFIXES if isinstance(name, str) else ():
        name = name.replace(infix, "")
    return name


def _is_tensor(value: Any) -> bool:
    """Whether a value is an array of numbers: of NumPy, JAX or PyTorch."""
    if hasattr(value, "detach"):
        return hasattr(value, "numpy") and not getattr(value, "is_sparse", False)
    return isinstance(value, np.ndarray | np.generic | jax.Array) and getattr(value.dtype, "kind", "O") not in "OSU"


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor of PyTorch; NumPy has no bfloat16
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _read(path: Path) -> Any:
    if path.suffix.lower() not in (SAFETENSORS, *PICKLES):
        endings = ", ".join((SAFETENSORS, *PICKLES))
        raise ValueError(f"expected a file that ends in one of {endings}, but got {str(path)!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    return read_safetensors(path) if path.suffix.lower() == SAFETENSORS else _read_pickled(path)


def _read_pickled(path: Path) -> Any:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(
            f"{path.name} is a pickle of PyTorch, which is not installed. Where it is, "
            "safetensors.torch.save_file(torch.load(path), 'weights.safetensors') makes a file that needs nothing."
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is damaged, or holds more than tensors, such as a whole pickled model. Loading that "
            f"runs code from the file. Where the code of the model is installed, write its tensors alone: "
            f"torch.save({STATE_DICT}, 'weights.pth')."
        ) from error
    except Exception as error:  # PyTorch passes on all errors of its readers of zip files and pickles
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is damaged or cut off ({reason}). Copy it again from its source.") from error
