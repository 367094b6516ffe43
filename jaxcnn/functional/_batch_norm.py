"""Batch normalisation: its statistics go in and come out."""

import dataclasses
import functools
import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.typing import DTypeLike

from jaxcnn._arrays import accumulator_dtype, as_arrays
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import check_per_channel, full_rank_mask
from jaxcnn._reprs import short_repr
from jaxcnn._symbolic import is_less, is_symbolic, larger


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
    """The statistics before the first batch: mean 0, variance 1, none counted.

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
    x: jax.Array,
    stats: BatchStats,
    *,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    train: bool,
    momentum: float | None = 0.99,
    epsilon: float = 1e-5,
    axis_name: Hashable | None = None,
    axis_index_groups: Sequence[Sequence[int]] | None = None,
    mask: jax.Array | None = None,
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
        mask: true where an entry counts. ``(batch,)`` or any leading axes of ``x``, or its full rank with 1 for axes
            that share an entry. Entries that do not count are normalised too, an Inf or NaN as a 0, with a gradient
            of 0. Channels of which no entry counts are normalised by ``stats``, which do not change; a batch of size
            zero is such a case.
        unbiased: whether the running variance has the factor ``m / (m - 1)``; without it the statistics are those of
            Flax. If ``m`` is 1 there is no unbiased variance, and the running one does not change.
        dtype: of ``y``; None keeps that of ``x``.

    Returns:
        ``y`` in the shape of ``x``, and the statistics after this batch.

    Raises:
        ShapeError: statistics, scale or bias that are not a number per channel, or a mask that does not fit.
        ValueError: a momentum outside 0 and 1, or a negative epsilon.
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
    x, scale, bias, mask = as_arrays(x=x, scale=scale, bias=bias, mask=mask)
    stats = _checked(x, stats, scale, bias)
    _check_numbers(train, momentum, epsilon)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.float32)
    dtype = x.dtype if dtype is None else dtype
    x = x.astype(accumulator_dtype(x.dtype))
    if not train:
        return _normalize(x, stats.mean, None, stats.var, scale, bias, epsilon).astype(dtype), stats
    if mask is not None:
        mask = mask.astype(bool)
        mask = mask.reshape(full_rank_mask(mask.shape, x.shape))
        # A derivative multiplies such an entry by a cotangent of 0, which would give NaN for its whole channel.
        x = jnp.where(mask | jnp.isfinite(x), x, jnp.zeros((), x.dtype))
    moments = _batch_moments(x, stats, mask, axis_name, axis_index_groups)
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


INT32_END = 2**31
SAMPLE_EVERY = 16
MAXIMUM_SQUARED_MEAN = 8.0  # times the variance: with a larger mean, plain sums of squares are not exact enough


class _Moments(NamedTuple):
    """Moments of one batch: the mean is ``centre + rest``, and only ``rest`` is differentiated."""

    entries: jax.Array
    centre: jax.Array
    rest: jax.Array
    var: jax.Array


def _batch_moments(
    x: jax.Array, stats: BatchStats, mask: jax.Array | None, axis_name: Any, axis_index_groups: Any
) -> _Moments:
    """Mean and biased variance of each channel; those of ``stats`` if no entry counts."""
    groups = None if axis_index_groups is None else tuple(map(tuple, axis_index_groups))
    over = _Axis(axis_name, groups)
    entries = jnp.asarray(over.sum(_entries(x, mask))).astype(x.dtype)
    some = entries > 0
    centre, rest, var = _moments(over, x, mask, jnp.where(some, entries, 1))
    centre = jnp.where(some, centre, stats.mean.astype(x.dtype))
    return _Moments(entries, centre, rest, jnp.where(some, var, stats.var.astype(x.dtype)))


class _Axis(NamedTuple):
    """The mapped axis over which a batch is divided, if any."""

    name: Any
    groups: tuple[tuple[int, ...], ...] | None

    def sum(self, value: Any) -> Any:
        """The sum over the devices that share a batch."""
        return value if self.name is None else lax.psum(value, self.name, axis_index_groups=self.groups)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _moments(
    over: _Axis, x: jax.Array, mask: jax.Array | None, entries: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A centre near the mean, the difference between the mean and the centre, and the variance.

    Both are exact for any centre, so the centre need not be differentiated, and ``y`` is more exact than with the
    rounded mean. With a centre within ``k`` standard deviations of the mean the variance has an error of ``k**2``
    roundings. The derivatives are explicit because those that JAX derives read the batch once more.
    """
    centre, first, second = lax.platform_dependent(
        x,
        mask,
        entries,
        cpu=functools.partial(_sums_then_centred, over),
        default=functools.partial(_about_sample, over),
    )
    rest = over.sum(first) / entries
    var = over.sum(second) / entries - lax.square(rest)
    return centre, rest, jnp.where(var < 0, 0, var)


@_moments.defjvp
def _moments_jvp(over: _Axis, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, mask, entries = primals
    dx = tangents[0]
    centre, rest, var = _moments(over, x, mask, entries)
    first, second = _sums(mask, dx, dx * (x - _row(centre, x)))
    d_rest = over.sum(first) / entries
    d_var = 2 * (over.sum(second) / entries - rest * d_rest)
    return (centre, rest, var), (jnp.zeros_like(centre), d_rest, d_var)


def _sums_then_centred(
    over: _Axis, x: jax.Array, mask: jax.Array | None, entries: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean, and the sums of the differences from it and of their squares; from plain sums if they are exact enough.

    On a CPU XLA reduces plain sums fastest; on other platforms the branch would wait for the host.
    """
    first, second = _sums(mask, x, lax.square(x))
    mean = over.sum(first) / entries
    var = over.sum(second) / entries - lax.square(mean)
    near = jnp.all((lax.square(mean) <= MAXIMUM_SQUARED_MEAN * var) & (var < jnp.inf))

    def from_plain_sums() -> tuple[jax.Array, jax.Array]:
        here = jnp.asarray(_entries(x, mask)).astype(x.dtype)
        rest = first - here * mean
        return rest, second - mean * (first + rest)

    def centred_sums() -> tuple[jax.Array, jax.Array]:
        centred = x - _row(mean, x)
        rest, squares = _sums(mask, centred, lax.square(centred))
        return rest, squares

    return mean, *lax.cond(near, from_plain_sums, centred_sums)


def _about_sample(
    over: _Axis, x: jax.Array, mask: jax.Array | None, entries: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean of a sample, or of all entries with a mask, and the sums about it: one pass, and a part."""
    if mask is None:
        sample = _sample(x)
        (first,) = _sums(None, sample)
        number = larger(math.prod(sample.shape[:-1]), 1)
        centre = over.sum(first) / over.sum(number if is_symbolic(number) else float(number))
    else:
        (first,) = _sums(mask, x)
        centre = over.sum(first) / entries
    centred = x - _row(centre, x)
    rest, squares = _sums(mask, centred, lax.square(centred))
    return centre, rest, squares


def _entries(x: jax.Array, mask: jax.Array | None) -> Any:
    """The number of entries on this device that count, for all channels or for each.

    A known number is a float, because it may exceed the range of 32-bit integers.
    """
    number = math.prod(x.shape[:-1])
    if mask is None:
        return number if is_symbolic(number) else float(number)
    whole = jnp.broadcast_to(mask, (*x.shape[:-1], mask.shape[-1]))
    if is_symbolic(number) or number < INT32_END:
        return jnp.sum(whole, tuple(range(x.ndim - 1)), dtype=jnp.int32)
    rows = jnp.sum(whole, x.ndim - 2, dtype=jnp.int32)
    return jnp.sum(rows.astype(x.dtype), tuple(range(x.ndim - 2)))


def _sums(mask: jax.Array | None, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The sum of each channel over the entries that count."""
    axes = tuple(range(arrays[0].ndim - 1))
    if mask is not None:
        arrays = tuple(jnp.where(mask, array, jnp.zeros((), array.dtype)) for array in arrays)
    return tuple(jnp.sum(array, axes) for array in arrays)


def _sample(x: jax.Array) -> jax.Array:
    """Every sixteenth row of large images; all rows of small ones.

    A sharded axis is not sliced, so that every device has its part.
    """
    height = x.shape[1] if x.ndim > 3 else 0
    if not is_less(SAMPLE_EVERY - 1, height) or jax.typeof(x).sharding.spec[1] is not None:
        return x
    return lax.slice_in_dim(x, SAMPLE_EVERY // 2, height, SAMPLE_EVERY, axis=1)


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
    y = (x - _row(centre, x)) * _row(factor, x)
    return y if offset is None else y + _row(offset, x)


def _row(vector: jax.Array, x: jax.Array) -> jax.Array:
    """A number per channel, in the rank and dtype of ``x``."""
    return vector.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def _updated(stats: BatchStats, moments: _Moments, momentum: float | None, unbiased: bool) -> BatchStats:
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
