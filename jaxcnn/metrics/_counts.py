"""Weights that are added up in cells: of a confusion matrix, a histogram, a diagram."""

import math

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn.metrics._sums import Sum

MOST_AT_ONCE = 2**24  # a float32 that has reached it does not change when 1 is added


def add_counts(sums: Sum, cells: jax.Array, weights: jax.Array) -> Sum:
    """The sums with the weights of more cells, in parts that float32 counts exactly.

    Args:
        sums: one for each cell; cells are numbered in row-major order.
        cells: integers of any shape; numbers out of range are left out.
        weights: of the same shape.
    """
    count, shape = math.prod(cells.shape), sums.rounded.shape
    if count <= MOST_AT_ONCE:
        return sums.add(_counts_of(cells, weights, shape))
    cells, weights = (gathered(array).reshape(-1) for array in (cells, weights))
    for start in range(0, count, MOST_AT_ONCE):
        part = slice(start, start + MOST_AT_ONCE)
        sums = sums.add(_counts_of(cells[part], weights[part], shape))
    return sums


def _counts_of(cells: jax.Array, weights: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The sum of the weights of each cell; cells are numbered in row-major order, and numbers out of range left out.

    Args:
        cells: integers of any shape.
        weights: of the same shape.
        shape: of the result.

    >>> _counts_of(jnp.array([0, 3, 3, 4]), jnp.array([1.0, 2.0, 3.0, 9.0]), (2, 2))
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
