"""Any number of batch axes as the one axis of ``lax.conv_general_dilated``, sharded or not."""

from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn._geometry import ConvGeometry

Restore = Callable[[jax.Array], jax.Array]


def merge_batch(x: jax.Array, geometry: ConvGeometry) -> tuple[jax.Array, int, Restore]:
    """Merges the batch axes into one, or adds one.

    If batch axes are sharded in the type of ``x`` (a mesh with Explicit axes), a sharded axis must be the first of
    those merged, and a second sharded axis cannot be merged without moving data. Such axes remain between the batch
    axis and the spatial ones; their number is the second result.

    Returns:
        the array, the number of remaining axes, and the function that restores the batch axes of a result.
    """
    count = len(geometry.batch_shape)
    if count == 1:
        return x, 0, lambda y: y
    if count == 0:
        return x[None], 0, lambda y: jnp.squeeze(y, 0)
    sharded = [axis for axis in range(count) if jax.typeof(x).sharding.spec[axis] is not None]
    whole = [axis for axis in range(count) if axis not in sharded]
    order = (*sharded[:1], *whole, *sharded[1:])
    extra = len(sharded[1:])
    sizes = tuple(geometry.batch_shape[axis] for axis in order)
    merged, kept = sizes[: count - extra], sizes[count - extra :]

    def restore(y: jax.Array) -> jax.Array:
        y = lax.reshape(y, (*merged, *y.shape[1:]))
        return jnp.moveaxis(y, range(count), order)

    x = jnp.moveaxis(x, order, range(count))
    return lax.reshape(x, (prod(merged), *kept, *x.shape[count:])), extra, restore


def share_mesh(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The kernel, replicated over the mesh that ``x`` is sharded over if it was made outside of that mesh.

    The types of arrays from outside name no mesh, and then the kernel gradient of ``lax.conv_general_dilated`` cannot
    derive the type of its result.
    """
    sharding = jax.typeof(x).sharding
    if not jax.typeof(kernel).sharding.mesh.empty or all(entry is None for entry in sharding.spec):
        return kernel
    return jax.sharding.reshard(kernel, NamedSharding(sharding.mesh, PartitionSpec()))
