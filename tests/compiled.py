"""Calls of a function as one compiled program, which costs a test less than one program for each of its operations."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with each call under ``jax.jit``; calls that differ only in array values share a program.

    Arrays among the arguments are traced. All other arguments (options, shapes, functions, numbers) are static.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs), is_leaf=lambda leaf: leaf is None)
        arrays = [leaf for leaf in leaves if _is_array(leaf)]
        # The type is part of the key, since True, 1 and 1.0 are equal.
        static = tuple(_ARRAY if _is_array(leaf) else (type(leaf), leaf) for leaf in leaves)
        return _run(function, structure, static, *arrays)

    return call


_ARRAY = "array"


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "OSUMm")


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(function: Callable[..., Any], structure: Any, static: tuple[Any, ...], *arrays: Any) -> Any:
    traced = iter(arrays)
    args, kwargs = jax.tree.unflatten(structure, [next(traced) if each is _ARRAY else each[1] for each in static])
    return function(*args, **kwargs)


def compiled_functions(package: types.ModuleType) -> types.SimpleNamespace:
    """The public functions of a package, each ``compiled``; its other public members are unchanged."""
    members = {name: getattr(package, name) for name in package.__all__}
    return types.SimpleNamespace(
        **{name: compiled(member) if inspect.isfunction(member) else member for name, member in members.items()}
    )
