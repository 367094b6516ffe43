"""Pools with a given output size: adaptive pools, global pools, and pyramids of adaptive pools."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike
from jaxcnn._errors import check_choice
from jaxcnn._geometry import (
    MOST_POSITIONS,
    PoolKind,
    PoolPlan,
    adaptive_bins,
    adaptive_output,
    plan_pool,
    pyramid_levels,
    spatial_sizes,
)
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional._pooling import (
    MAXIMUM,
    as_float,
    as_ordered,
    comparable,
    cut,
    divided,
    extremum_of_windows,
    extremum_over,
    is_one_window,
    materialized_if_differentiated,
    narrowed,
    widened,
    window_sum,
)


def adaptive_avg_pool(x: ArrayLike, output_size: Sequence[int | None]) -> jax.Array:
    """The average over each of ``output_size`` bins per axis, for any size of ``x``.

    ``y[..., i, c] = mean of x[..., floor(i * n / m) : ceil((i + 1) * n / m), c]`` on each axis of ``n`` entries and
    ``m`` bins: the bins of PyTorch and Keras, which overlap by one entry where ``m`` does not divide ``n``.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are averaged in the default floating type; types of fewer than
            32 bits are summed in float32.
        output_size: one integer per spatial axis, or None to keep an axis; it determines the number of spatial axes.

    Returns:
        ``(*batch, *output_size, channels)``.

    Raises:
        ShapeError: a bare int, an entry under 1, or an axis without entries.
        TypeError: entries that are not integers, or booleans to average.

    Source: He et al. (2014), "Spatial pyramid pooling in deep convolutional networks", appendix A.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.adaptive_avg_pool(jnp.arange(10.0)[:, None], (4,))[:, 0]  # of 0 1 2, 2 3 4, 5 6 7 and 7 8 9
    Array([1., 3., 6., 8.], dtype=float32)
    """
    x = as_float(x)
    return _adaptive_average(x, adaptive_output(output_size, x.shape))


def adaptive_max_pool(x: ArrayLike, output_size: Sequence[int | None]) -> jax.Array:
    """The maximum over each of ``output_size`` bins per axis, for any size of ``x``.

    ``y[..., i, c] = max of x[..., floor(i * n / m) : ceil((i + 1) * n / m), c]`` on each axis of ``n`` entries and
    ``m`` bins. The gradient goes to the first maximum of a bin in row-major order.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type.
        output_size: one integer per spatial axis, or None to keep an axis; it determines the number of spatial axes.

    Returns:
        ``(*batch, *output_size, channels)``, of the type of ``x``.

    Raises:
        ShapeError: a bare int, an entry under 1, or an axis without entries.
        TypeError: entries that are not integers, or complex numbers, which have no order.

    Source: He et al. (2014), "Spatial pyramid pooling in deep convolutional networks", appendix A.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.adaptive_max_pool(jnp.arange(10.0)[:, None], (4,))[:, 0]
    Array([2., 4., 7., 9.], dtype=float32)
    """
    x = as_ordered(x)
    return _adaptive_maximum(x, adaptive_output(output_size, x.shape))


def global_avg_pool(x: ArrayLike, *, spatial_ndim: int | None = None, keepdims: bool = False) -> jax.Array:
    """The average over all spatial positions, per channel: ``y[..., c] = mean over o of x[..., o, c]``.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are averaged in the default floating type; types of fewer than
            32 bits are summed in float32.
        spatial_ndim: the number of spatial axes, which are before the last axis. None is accepted for a batch of images
            or of volumes (4 or 5 axes): all axes but the first and the last are spatial. Any other rank has two
            readings and requires the number.
        keepdims: whether the spatial axes stay, with length 1.

    Returns:
        ``(*batch, channels)``, or ``(*batch, 1, ..., channels)``.

    Raises:
        ShapeError: no ``spatial_ndim`` where the rank has two readings, no spatial axis, or one without entries.
        TypeError: ``spatial_ndim`` is not an integer, or booleans to average.

    Source: Lin, Chen, Yan (2014), "Network in network", section 3.2.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    >>> F.global_avg_pool(x), F.global_avg_pool(x, keepdims=True).shape
    (Array([[3., 4.]], dtype=float32), (1, 1, 1, 2))
    """
    x = as_float(x)
    sizes = spatial_sizes(x.shape, spatial_ndim)
    _check_keepdims(keepdims)
    axes = _spatial_axes(x, len(sizes))
    counts = [jnp.asarray(size)[None] if is_symbolic(size) else np.array([size]) for size in sizes]
    means = divided(widened(x).sum(axes, keepdims=True), counts, axes[0]).astype(x.dtype)
    return means if keepdims else means.squeeze(axes)


def global_max_pool(x: ArrayLike, *, spatial_ndim: int | None = None, keepdims: bool = False) -> jax.Array:
    """The maximum over all spatial positions, per channel: ``y[..., c] = max over o of x[..., o, c]``.

    The gradient goes to the first maximum in row-major order.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type.
        spatial_ndim: as in ``global_avg_pool``.
        keepdims: whether the spatial axes stay, with length 1.

    Returns:
        ``(*batch, channels)``, or ``(*batch, 1, ..., channels)``, of the type of ``x``.

    Raises:
        ShapeError: no ``spatial_ndim`` where the rank has two readings, no spatial axis, or one without entries.
        TypeError: ``spatial_ndim`` is not an integer, ``keepdims`` is not a bool, or complex numbers, which have no
            order.

    Source: Oquab et al. (2015), "Is object localization for free? Weakly-supervised learning with convolutional
    neural networks", section 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.global_max_pool(jnp.array([[1., 6.], [3., 2.]]), spatial_ndim=1)
    Array([3., 6.], dtype=float32)
    """
    x = as_ordered(x)
    sizes = spatial_sizes(x.shape, spatial_ndim)
    _check_keepdims(keepdims)
    return _global_maximum(x, len(sizes), keepdims)


def _check_keepdims(keepdims: object) -> None:
    if not isinstance(keepdims, bool):
        raise TypeError(f"keepdims is True or False, not {keepdims!r}.")


def spatial_pyramid_pool(
    x: ArrayLike,
    levels: Sequence[int | Sequence[int]],
    *,
    kind: PoolKind = "max",
    spatial_ndim: int | None = None,
) -> jax.Array:
    """Pools ``x`` into bins at several levels and concatenates all bins to a vector of the same length for any size.

    The vector is ordered by level, then by bin in row-major order, then by channel. Each level is
    ``adaptive_max_pool`` or ``adaptive_avg_pool``; level 1 is the whole image, level 2 its four quadrants.

    Args:
        x: ``(*batch, *spatial, channels)``.
        levels: the number of bins per axis of each level: an integer for all axes, or one per axis.
        kind: ``"max"`` or ``"avg"``.
        spatial_ndim: as in ``global_avg_pool``.

    Returns:
        ``(*batch, bins * channels)``, with ``bins`` summed over the levels.

    Raises:
        ShapeError: no level, one that does not match the number of axes, no ``spatial_ndim`` where the rank has two
            readings, or no spatial axis.
        ValueError: another ``kind``.
        TypeError: levels that are not integers, or an ``x`` that the pool refuses.

    Source: He et al. (2014), "Spatial pyramid pooling in deep convolutional networks", section 2.2; Coates, Lee, Ng
    (2011), "An analysis of single-layer networks in unsupervised feature learning", section 3.2: four quadrants.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.spatial_pyramid_pool(jnp.arange(16).reshape(1, 4, 4, 1), (1, 2))
    Array([[15,  5,  7, 13, 15]], dtype=int32)
    """
    check_choice(kind, get_args(PoolKind), name="kind")
    x = as_ordered(x) if kind == "max" else as_float(x)
    ndim = len(spatial_sizes(x.shape, spatial_ndim))
    dtype, pool = x.dtype, _adaptive_maximum if kind == "max" else _adaptive_average
    x = comparable(x) if kind == "max" else x
    parts = [pool(x, level) for level in pyramid_levels(levels, ndim)]
    batch = x.shape[: -ndim - 1]
    vectors = [part.reshape(*batch, math.prod(part.shape[len(batch) :])) for part in parts]
    return narrowed(jnp.concatenate(vectors, -1), dtype)


@functools.partial(jax.jit, static_argnums=1)
def _adaptive_average(x: jax.Array, output: tuple[int, ...]) -> jax.Array:
    if (plan := _windows_of_bins(x, output)) is not None:
        size = math.prod(axis.window for axis in plan)
        return (window_sum(widened(x), plan) / size).astype(x.dtype)
    total, counts, axes = widened(x), [], _spatial_axes(x, len(output))
    for at, bins in zip(axes, output, strict=True):
        total, count = _over_bins(total, at, bins, jnp.sum, repeated=False)
        counts.append(count)
    return divided(total, counts, axes[0]).astype(x.dtype)


@functools.partial(jax.jit, static_argnums=1)
def _adaptive_maximum(x: jax.Array, output: tuple[int, ...]) -> jax.Array:
    if (plan := _windows_of_bins(x, output)) is not None:
        return extremum_of_windows(x, plan, MAXIMUM)[0]
    dtype, x = x.dtype, materialized_if_differentiated(comparable(x))
    for at, bins in reversed(list(zip(_spatial_axes(x, len(output)), output, strict=True))):
        x, _ = _over_bins(x, at, bins, lambda bin, axis: extremum_over(bin, [axis], MAXIMUM), repeated=True)
    return narrowed(x, dtype)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _global_maximum(x: jax.Array, spatial_ndim: int, keepdims: bool) -> jax.Array:
    axes, dtype = _spatial_axes(x, spatial_ndim), x.dtype
    greatest = materialized_if_differentiated(comparable(x))
    if any(map(is_symbolic, x.shape)) or math.prod(x.shape[axis] for axis in axes) <= MOST_POSITIONS:
        greatest = extremum_over(greatest, axes, MAXIMUM)
    else:  # one number for each position would not fit int32
        for axis in reversed(axes):
            greatest = extremum_over(greatest, [axis], MAXIMUM)
    return narrowed(lax.expand_dims(greatest, axes) if keepdims else greatest, dtype)


def _spatial_axes(x: jax.Array, ndim: int) -> tuple[int, ...]:
    """The axes before the last one."""
    return tuple(range(x.ndim - 1 - ndim, x.ndim - 1))


def _windows_of_bins(x: jax.Array, output: tuple[int, ...]) -> PoolPlan | None:
    """The bins as the windows of a portable pool; None if their sizes differ, or if no portable pool is requested."""
    sizes = [x.shape[axis] for axis in _spatial_axes(x, len(output))]
    if any(is_symbolic(size) or size % bins for size, bins in zip(sizes, output, strict=True)):
        return None
    window = [size // bins for size, bins in zip(sizes, output, strict=True)]
    plan = plan_pool(sizes, window, strides=window)
    return plan if is_one_window(plan) else None


def _over_bins(
    x: jax.Array, at: int, bins: int, reduce_axis: Callable[[jax.Array, int], jax.Array], *, repeated: bool
) -> tuple[jax.Array, Any]:
    """The reduction of each bin of one axis, and the number of entries of each bin.

    Bins repeat with period ``size / gcd(size, bins)``, so only one period is cut. On an axis of symbolic size all bins
    are gathered with the length of the longest one; shorter bins are filled up with their last entry if ``repeated``,
    else with zeros.
    """
    size = x.shape[at]
    if size == bins:
        return x, np.ones(1, int)
    if is_symbolic(size):
        edges = jnp.arange(bins + 1) * jnp.asarray(size)
        starts, stops = edges[:-1] // bins, -(-edges[1:] // bins)
        entries = starts[:, None] + jnp.arange((size - 1) // bins + 2)[None]
        x = jnp.take(x, jnp.minimum(entries, stops[:, None] - 1), at, mode="clip")
        if not repeated:
            inside = lax.expand_dims(entries < stops[:, None], [i for i in range(x.ndim) if i not in (at, at + 1)])
            x = jnp.where(inside, x, jnp.zeros((), x.dtype))
        return reduce_axis(x, at + 1), stops - starts
    periods = math.gcd(size, bins)
    cuts = adaptive_bins(size // periods, bins // periods)
    x = x.reshape(*x.shape[:at], periods, size // periods, *x.shape[at + 1 :])
    y = jnp.stack([reduce_axis(cut(x, [at + 1], [low], [high - low]), at + 1) for low, high in cuts], at + 1)
    counts = np.tile([high - low for low, high in cuts], periods)
    return y.reshape(*y.shape[:at], bins, *y.shape[at + 2 :]), counts
