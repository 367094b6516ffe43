"""The start of a loop inside ``shard_map``, where the type of a value has the mesh axes over which it varies."""

from typing import TypeVar

import jax
from jax import lax

Tree = TypeVar("Tree")


def varying_like(start: Tree, *inputs: jax.Array) -> Tree:
    """A tree of constants whose type varies over the mesh axes of the inputs, like the result of a loop's body."""
    axes = frozenset[str]().union(*(jax.typeof(each).manual_axis_type.varying for each in inputs))

    def cast(leaf: jax.Array) -> jax.Array:
        missing = tuple(sorted(axes - jax.typeof(leaf).manual_axis_type.varying))
        return lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, start)
