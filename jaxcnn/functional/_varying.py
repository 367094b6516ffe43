"""Constants whose type has the mesh axes of other arrays, as the start of a loop requires.

Inside ``shard_map`` the type of a value has the mesh axes over which it varies; over a mesh with Explicit axes it has
the axes over which it is sharded.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

Tree = TypeVar("Tree")


def varying_like(start: Tree, *inputs: jax.Array) -> Tree:
    """A tree of constants whose type varies over the mesh axes of the inputs, like the result of a loop's body."""
    axes = frozenset[str]().union(*(jax.typeof(each).manual_axis_type.varying for each in inputs))

    def cast(leaf: jax.Array) -> jax.Array:
        missing = tuple(sorted(axes - jax.typeof(leaf).manual_axis_type.varying))
        return lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, start)


def filled_like(array: jax.Array, value: int, dtype: DTypeLike) -> jax.Array:
    """A constant in the shape of an array, sharded as the array is. With JAX 0.12, ``jnp.full_like`` is not."""
    return jnp.asarray(value, dtype) + ((array != array) & False).astype(dtype)
