"""The assignment of loaded tensors to the variables of a model, which must be complete."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn._errors import ShapeError
from jaxcnn.models._weights._torch_names import Counterpart, listed, nested, paths


def match_tensors(
    specs: Mapping[str, Counterpart], tensors: Mapping[str, np.ndarray], *, where: str
) -> dict[str, np.ndarray]:
    """The variables by path, from tensors by name.

    Raises:
        ShapeError: tensors of another shape; the message lists all faults.
        ValueError: missing or unexpected tensors, or tensors that are not floating-point.
    """
    expected = {spec.name: spec for spec in specs.values()}
    known = [name for name in expected if name in tensors]
    shapes = [
        f"{name} {np.shape(tensors[name])} for {expected[name].theirs}"
        for name in known
        if np.shape(tensors[name]) != expected[name].theirs
    ]
    kinds = [
        f"{name} ({tensors[name].dtype})" for name in known if not jnp.issubdtype(tensors[name].dtype, jnp.floating)
    ]
    faults = {
        "Missing": [name for name in expected if name not in tensors],
        "Unexpected": [name for name in tensors if name not in expected],
        "Of another shape": shapes,
        "Not floating-point": kinds,
    }
    text = " ".join(f"{fault}: {listed(names)}." for fault, names in faults.items() if names)
    if text:
        raise (ShapeError if shapes else ValueError)(f"{where}, does not fit. {text}")
    return {path: spec.to_ours(np.asarray(tensors[spec.name], np.float32)) for path, spec in specs.items()}


def as_variables(shapes: Any, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of variables from its leaves by path."""
    return nested({path: jnp.asarray(leaves[path]) for path, _ in paths(shapes)})
