"""Weights that are added up in cells: of a confusion matrix, a histogram, a diagram."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec


def counts(cells: jax.Array, weights: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The sum of the weights of each cell; cells are numbered in row-major order, and numbers out of range left out.

    Args:
        cells: integers of any shape.
        weights: of the same shape.
        shape: of the result.

    >>> counts(jnp.array([0, 3, 3, 4]), jnp.array([1.0, 2.0, 3.0, 9.0]), (2, 2))
    Array([[1., 0.],
           [0., 5.]], dtype=float32)
    """
    start = jnp.zeros(shape, weights.dtype).reshape(-1)
    mesh = jax.typeof(cells).sharding.mesh
    # On a mesh with Explicit axes the examples may be split, and the counts are those of all devices.
    whole = None if mesh.empty else NamedSharding(mesh, PartitionSpec())
    cells = jnp.where(cells < 0, start.size, cells)  # a negative index would count from the end
    return start.at[cells].add(weights, mode="drop", out_sharding=whole).reshape(shape)


def gathered(x: jax.Array) -> jax.Array:
    """The array on every device, where a mesh with Explicit axes splits it: a sort reads all of it."""
    mesh = jax.typeof(x).sharding.mesh
    return x if mesh.empty else jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec()))
