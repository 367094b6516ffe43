"""Series of unequal lengths: padded entries that do not change any result."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn.functional import global_avg_pool


def as_series_mask(mask: Any, x: jax.Array) -> jax.Array | None:
    """A mask of the entries of series as ``(*batch, length, 1)``; None for None.

    Raises:
        ShapeError: its shape is not that of the series without the channels.
        TypeError: something that is not made of numbers.
    """
    if mask is None:
        return None
    array = as_array(mask, name="mask")
    if array.shape != x.shape[:-1]:
        raise ShapeError(
            f"expected a mask (*batch, length) for series (*batch, length, channels), true for entries of the series; "
            f"got mask.shape={array.shape} and x.shape={x.shape}."
        )
    return array.astype(bool)[..., None]


def masked(x: jax.Array, mask: jax.Array | None, *, fill: float = 0.0) -> jax.Array:
    """The series with ``fill`` in place of entries outside of the mask.

    >>> print(masked(jnp.array([[1.0], [2.0]]), jnp.array([[True], [False]])).T)
    [[1. 0.]]
    """
    return x if mask is None else jnp.where(mask, x, jnp.asarray(fill, x.dtype))


def masked_mean(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The mean over the entries within the mask, ``(*batch, channels)``; 0 for a series without entries.

    >>> print(masked_mean(jnp.array([[1.0], [2.0]]), jnp.array([[True], [False]])))
    [1.]
    """
    if mask is None:
        return global_avg_pool(x, spatial_ndim=1)
    count = jnp.maximum(mask.sum(-2), 1).astype(jnp.float32)
    return (masked(x, mask).astype(jnp.float32).sum(-2) / count).astype(x.dtype)
