"""Places pooled values at the positions of their maxima."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, as_arrays
from jaxcnn._geometry import unpool_shape
from jaxcnn.functional._pooling import materialized


def max_unpool(y: ArrayLike, indices: ArrayLike, output_shape: Sequence[int]) -> jax.Array:
    """Places each entry of ``y`` at its index in an array of zeros: the partial inverse of ``max_pool_with_indices``.

    ``x[..., indices[..., o, c], c] = y[..., o, c]``, an index counting the spatial axes in row-major order. Where
    windows overlap an index may occur several times; the last of them in row-major order is kept, on every
    platform, and the others get no gradient. An index outside ``output_shape``, such as the -1 of a window that read
    only padding, is dropped. The function is linear in ``y``; its gradient gathers.

    Args:
        y: ``(*batch, *pooled, channels)``.
        indices: integers of the same shape.
        output_shape: the spatial shape of the result, one integer per axis. It may differ from the shape of the input
            that was pooled; indices count the positions of ``output_shape``.

    Returns:
        ``(*batch, *output_shape, channels)``, of the type of ``y``.

    Raises:
        ShapeError: ``y`` and ``indices`` differ in shape, or have fewer axes than ``output_shape`` requires.
        TypeError: ``indices`` or ``output_shape`` not of integers.

    Source: Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", section 2.1; the
    operator MaxUnpool of ONNX.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([[7., 0., 0., 1.], [0., 0., 9., 0.]])[:, :, None]
    >>> F.max_unpool(*F.max_pool_with_indices(x, (2, 2), strides=2), (2, 4))[..., 0]
    Array([[7., 0., 0., 0.],
           [0., 0., 9., 0.]], dtype=float32)
    """
    y, indices = as_arrays(y=y, indices=indices)
    batch, sizes = unpool_shape(y.shape, indices.shape, output_shape)
    if not jnp.issubdtype(indices.dtype, jnp.integer):
        raise TypeError(f"indices are integers, not {indices.dtype}.")
    if y.dtype == jnp.bool_:  # which cannot be added
        return _unpool(y.astype(jnp.uint8), indices, len(batch), sizes).astype(jnp.bool_)
    return _unpool(y, indices, len(batch), sizes)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _unpool(y: jax.Array, indices: jax.Array, batch_ndim: int, sizes: tuple[int, ...]) -> jax.Array:
    flat = (*y.shape[:batch_ndim], math.prod(y.shape[batch_ndim:-1]), y.shape[-1])
    put = jax.vmap(functools.partial(_put, length=math.prod(sizes)), -1, -1)
    for _ in range(batch_ndim):  # one example, one channel at a time: a sharded batch axis stays sharded
        put = jax.vmap(put)
    indices = materialized(indices.reshape(flat))  # read more than once, and equal for all readers
    return put(y.reshape(flat), indices).reshape(*y.shape[:batch_ndim], *sizes, y.shape[-1])


def _put(y: jax.Array, indices: jax.Array, *, length: int) -> jax.Array:
    """One row. Of entries with equal indices only the last is kept, so that adding it to zeros writes it."""
    if indices.dtype.itemsize < 4:  # where length may not fit
        indices = indices.astype(jnp.int32)
    outside = (indices < 0) | (indices >= length)  # a negative index would count from the end
    indices = jnp.where(outside, length, indices).astype(jnp.int32)
    place = jnp.arange(y.size, dtype=jnp.int32)
    owner = jnp.full((length,), -1, jnp.int32).at[indices].max(place, mode="drop")
    kept = owner.at[indices].get(mode="fill", fill_value=-1) == place
    return jnp.zeros((length,), y.dtype).at[indices].add(jnp.where(kept, y, jnp.zeros((), y.dtype)), mode="drop")
