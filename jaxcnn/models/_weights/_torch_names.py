"""Names and layouts of the parameters of a model in a PyTorch library."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxcnn.models._registry import TorchNames

Shape = tuple[int, ...]
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counterpart:
    """One parameter of the PyTorch model: ``ours.reshape(split).transpose(order).reshape(theirs)``, and its inverse.

    Attributes:
        name: in the state dict.
        ours: shape in jaxcnn.
        split: ``ours`` with flattened axes split.
        order: the permutation of the axes of ``split``.
        theirs: shape in PyTorch.
    """

    name: str
    ours: Shape
    split: Shape
    order: tuple[int, ...]
    theirs: Shape

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """The parameter in PyTorch's layout."""
        return array.reshape(self.split).transpose(self.order).reshape(self.theirs)

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """The parameter in jaxcnn's layout."""
        split = array.reshape([self.split[axis] for axis in self.order])
        return split.transpose(np.argsort(self.order)).reshape(self.ours)


def counterparts(names: TorchNames, variables: Any) -> dict[str, Counterpart]:
    """The PyTorch parameter for every path ``collection/module/.../leaf`` of a tree of variables.

    Raises:
        ValueError: the tables have no name for some parameters; the message lists them.
    """
    found, nameless = {}, []
    for path, leaf in paths(variables):
        tensor = _counterpart(names, path.split("/", 1)[1], tuple(leaf.shape))
        if tensor is None:
            nameless.append(path)
        else:
            found[path] = tensor
    if nameless:
        raise ValueError(f"{names.source} has no counterpart of {listed(nameless)}.")
    return found


def _counterpart(names: TorchNames, path: str, ours: Shape) -> Counterpart | None:
    module, _, leaf = path.rpartition("/")
    name = _translated(names.modules, path)
    if name is None:
        parent = _translated(names.modules, module)
        if parent is None or leaf not in LEAVES:
            return None
        name = parent.replace("{leaf}", LEAVES[leaf]) if "{leaf}" in parent else f"{parent}.{LEAVES[leaf]}"
    split = ours
    if leaf == "kernel" and module in names.flattened:
        area = math.prod(names.flattened[module])
        split = (*names.flattened[module], ours[0] // area, ours[1])
    last = len(split) - 1
    order = (last, last - 1, *range(last - 1)) if leaf == "kernel" else tuple(range(len(split)))
    theirs = tuple(split[axis] for axis in order) if split == ours else (ours[1], ours[0])
    for pattern, there in names.shapes.items():
        if re.fullmatch(pattern, path):
            theirs = tuple(np.empty(math.prod(ours), np.bool_).reshape(there).shape)
    return Counterpart(name=name, ours=ours, split=split, order=order, theirs=theirs)


def _translated(table: Mapping[str, str], path: str) -> str | None:
    for pattern, name in table.items():
        match = re.fullmatch(pattern, path)
        if match:
            return match.expand(name)
    return None


def paths(tree: Any) -> Iterator[tuple[str, Any]]:
    """Path and value of every leaf of a tree of dicts."""
    for keys, leaf in jax.tree.leaves_with_path(tree):
        yield "/".join(str(key.key) for key in keys), leaf


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of dicts with these paths: the inverse of ``paths``."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = leaf
    return tree


def listed(names: list[str], *, limit: int = 20) -> str:
    """The names as text; only the first ``limit`` and the number of the others."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
