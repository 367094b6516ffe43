"""Batch normalisation, with the running statistics as an argument and a result."""

import dataclasses
import functools
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array, as_arrays, as_optional_arrays
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import check_per_channel, full_rank_mask
from jaxcnn._reprs import short_repr
from jaxcnn.functional._moments import Moments, batch_moments, row


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BatchStats:
    """The running statistics of batch normalisation: a frozen dataclass, and a pytree with its fields as leaves.

    Attributes:
        mean: ``(channels,)``, the running mean.
        var: ``(channels,)``, the running variance.
        count: the number of batches that were averaged. A float, so that ``jax.grad`` accepts the statistics.
    """

    mean: jax.Array
    var: jax.Array
    count: jax.Array

    __repr__ = short_repr


# A function with statistics among its arguments or results can be exported, serialized and read back.
export.register_pytree_node_serialization(
    BatchStats,
    serialized_name="jaxcnn.functional.BatchStats",
    serialize_auxdata=lambda auxdata: b"",
    deserialize_auxdata=lambda serialized: (),
)


def batch_stats(channels: int, *, dtype: DTypeLike = jnp.float32) -> BatchStats:
    """The statistics before the first batch: mean 0, variance 1, count 0.

    Args:
        channels: the number of channels.
        dtype: of the statistics.

    Raises:
        ShapeError: fewer than one channel.
        TypeError: ``channels`` is not an integer.

    >>> batch_stats(2)
    BatchStats(mean=float32[2], var=float32[2], count=float32[])
    """
    channels = as_int(channels, name="channels")
    if channels < 1:
        raise ShapeError(f"channels={channels} must be at least 1.")
    return BatchStats(jnp.zeros(channels, dtype), jnp.ones(channels, dtype), jnp.zeros((), dtype))


def batch_norm(
    x: ArrayLike,
    stats: BatchStats,
    *,
    scale: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    train: bool,
    momentum: float | None = 0.99,
    epsilon: float = 1e-5,
    axis_name: Hashable | None = None,
    axis_index_groups: Sequence[Sequence[int]] | None = None,
    mask: ArrayLike | None = None,
    unbiased: bool = True,
    dtype: DTypeLike | None = None,
) -> tuple[jax.Array, BatchStats]:
    """Normalises each channel to mean 0 and variance 1, over the batch or by running statistics, then scales it.

    ``y = (x - mean) / sqrt(var + epsilon) * scale + bias``. With ``train=True`` mean and variance are those of the
    ``m`` entries that a channel has in the batch, ``mean = sum(x) / m`` and ``var = sum((x - mean)**2) / m``, and the
    running statistics are updated::

        stats.mean = momentum * stats.mean + (1 - momentum) * mean
        stats.var  = momentum * stats.var  + (1 - momentum) * var * m / (m - 1)

    With ``momentum=None`` the weight of the new batch is ``1 / (count + 1)``: the average of all batches. With
    ``train=False`` the running statistics are used, and returned unchanged.

    The variance is summed about the mean in at least float32, so it is exact with a mean of 1e4. The result and the
    returned statistics are differentiable in all arguments.

    Args:
        x: ``(*batch, *spatial, channels)``; the mean is over all axes but the last. Integers become float32.
        stats: from ``batch_stats``, or from the last call. They keep their dtype.
        scale: a number per channel, or None for 1.
        bias: a number per channel, or None for 0.
        train: whether to normalise by the batch.
        momentum: weight of the old statistics, between 0 and 1 (PyTorch's is the weight of the new ones).
        epsilon: added to the variance.
        axis_name: the axis of ``shard_map``, ``pmap`` or ``vmap`` (or several) whose parts are one batch. Plain
            ``jit`` over a mesh does not require it: there the batch is whole.
        axis_index_groups: groups of indices of that axis, each a batch of its own, as in ``jax.lax.psum``.
        mask: true for entries that are included in the statistics. ``(batch,)`` or any leading axes of ``x``, or its
            full rank with 1 for axes that share an entry. Excluded entries are normalised too; an Inf or NaN among
            them counts as 0, with a gradient of 0. Channels without an included entry, such as those of a batch of
            size zero, are normalised by ``stats``, which do not change.
        unbiased: whether the running variance has the factor ``m / (m - 1)``; without it the statistics are those of
            Flax. If ``m`` is 1 there is no unbiased variance, and the running one does not change.
        dtype: of ``y``; None keeps that of ``x``.

    Returns:
        ``y`` in the shape of ``x``, and the statistics after this batch.

    Raises:
        ShapeError: statistics, scale or bias that are not a number per channel, or a mask that does not fit.
        ValueError: a momentum outside [0, 1], or a negative epsilon.
        TypeError: complex ``x``, statistics that are not ``BatchStats``, or a ``train`` that is not a bool.

    Source: Ioffe and Szegedy, Batch normalization (2015), algorithms 1 and 2; for the variance Chan, Golub and
    LeVeque, Algorithms for computing the sample variance (1983), equation 1.7.

    >>> import jax.numpy as jnp
    >>> x = 1e4 + jnp.array([[-1.0, 0], [1, 0], [-1, 0], [1, 3]])
    >>> y, stats = batch_norm(x, batch_stats(2), train=True, momentum=None)
    >>> print(y.round(2))
    [[-1.   -0.58]
     [ 1.   -0.58]
     [-1.   -0.58]
     [ 1.    1.73]]
    >>> print(stats.var.round(4))  # unbiased
    [1.3333 2.25  ]
    """
    x = as_array(x, name="x")
    scale, bias, mask = as_optional_arrays(scale=scale, bias=bias, mask=mask)
    stats = _checked(x, stats, scale, bias)
    _check_numbers(train, momentum, epsilon)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.float32)
    dtype = x.dtype if dtype is None else dtype
    narrow = x.dtype
    x = x.astype(accumulator_dtype(x.dtype))
    if not train:
        return _normalize(x, stats.mean, None, stats.var, scale, bias, epsilon).astype(dtype), stats
    if mask is not None:
        mask = mask.astype(bool)
        mask = mask.reshape(full_rank_mask(mask.shape, x.shape))
        # A derivative multiplies such an entry by a cotangent of 0, which would give NaN for its whole channel.
        x = jnp.where(mask | jnp.isfinite(x), x, jnp.zeros((), x.dtype))
    moments = batch_moments(x, narrow, stats.mean, stats.var, mask, axis_name, axis_index_groups)
    y = _normalize(x, moments.centre, moments.rest, moments.var, scale, bias, epsilon)
    return y.astype(dtype), _updated(stats, moments, momentum, unbiased)


def _checked(x: Any, stats: Any, scale: Any, bias: Any) -> BatchStats:
    """The statistics as arrays, if all shapes and dtypes fit."""
    if not isinstance(stats, BatchStats):
        raise TypeError(
            f"stats must be a BatchStats, such as batch_stats(channels) returns, not {type(stats).__name__}."
        )
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x must have real numbers, not {x.dtype}. Normalise x.real and x.imag.")
    names = {"stats.mean": stats.mean, "stats.var": stats.var, "stats.count": stats.count}
    stats = BatchStats(*as_arrays(**names))
    vectors = {"stats.mean": stats.mean, "stats.var": stats.var, "scale": scale, "bias": bias}
    shapes = {name: vector.shape for name, vector in vectors.items() if vector is not None}
    check_per_channel(x.shape, shapes)
    return stats


def _check_numbers(train: Any, momentum: Any, epsilon: Any) -> None:
    """Refuses values that would be misinterpreted; traced values are not known."""
    if not isinstance(train, bool | np.bool_):
        raise TypeError(f"train is True or False, not {train!r}. Under jit make it static: static_argnames='train'.")
    if isinstance(momentum, str) or isinstance(epsilon, str):
        raise TypeError(f"momentum={momentum!r} and epsilon={epsilon!r} must be numbers.")
    if isinstance(momentum, int | float) and not 0 <= momentum <= 1:
        raise ValueError(f"momentum={momentum} must be between 0 and 1; it is the weight of the old statistics.")
    if isinstance(epsilon, int | float) and not epsilon >= 0:
        raise ValueError(f"epsilon={epsilon} must not be negative, or the root has no value.")


# Traced once for equal layers, which reduces the time to trace a deep network.
@functools.partial(jax.jit, inline=True)
def _normalize(
    x: jax.Array,
    centre: jax.Array,
    rest: jax.Array | None,
    var: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    epsilon: float,
) -> jax.Array:
    """``(x - centre - rest) / sqrt(var + epsilon) * scale + bias`` in the dtype of ``x``.

    Factors and offsets are combined for each channel first, so that the gradient only sums ``g`` and
    ``g * (x - centre)``.
    """
    factor = lax.rsqrt(var.astype(x.dtype) + epsilon)
    if scale is not None:
        factor = factor * scale.astype(x.dtype)
    offset = None if bias is None else bias.astype(x.dtype)
    if rest is not None:
        offset = -rest * factor if offset is None else offset - rest * factor
    y = (x - row(centre, x)) * row(factor, x)
    return y if offset is None else y + row(offset, x)


def _updated(stats: BatchStats, moments: Moments, momentum: float | None, unbiased: bool) -> BatchStats:
    """The running statistics after a batch; those of channels without entries that count do not change."""
    entries, var = moments.entries, moments.var
    if unbiased:
        var = var * (entries / jnp.maximum(entries - 1, 1))
    keep: Any = momentum
    take: Any = None if momentum is None else 1 - momentum
    if momentum is None:
        take = 1 / (stats.count.astype(entries.dtype) + 1)
        keep = 1 - take

    def moved(old: jax.Array, new: jax.Array, minimum: int) -> jax.Array:
        step = keep * old.astype(new.dtype) + take * new
        return jnp.where(entries >= minimum, step.astype(old.dtype), old)

    count = stats.count + jnp.any(entries > 0).astype(stats.count.dtype)
    return BatchStats(
        moved(stats.mean, moments.centre + moments.rest, 1), moved(stats.var, var, 2 if unbiased else 1), count
    )
