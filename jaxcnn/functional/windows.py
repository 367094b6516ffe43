"""The entries that the windows of a pool read, tap by tap, on one spatial axis.

Every pool of the library is a reduction over taps, one axis after the other. A tap is a slice of the input, so what
is built from taps has derivatives of any order in both modes, under every transform and sharding, where XLA's
windowed reductions have them only for plain sums and undilated maxima (and the latter not deterministically on GPUs).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._axes import IntPerAxis, window_per_axis
from jaxcnn._geometry import Padding, PoolAxis, PoolPlan, plan_pool, split_image_shape

# Above this many taps a chain of them makes a long program; powers of two are combined instead.
LONGEST_CHAIN = 8


def plan_windows(
    x: jax.Array,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding,
    window_dilation: IntPerAxis,
    ceil_mode: bool,
) -> PoolPlan:
    """The windows of a pool over the axes before the last one of ``x``, as many as ``window_shape`` has entries."""
    _, sizes = split_image_shape(x.shape, len(window_per_axis(window_shape)))
    return plan_pool(
        sizes,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
    )


def rows(x: jax.Array, axis: PoolAxis, at: int, *, fill: Any) -> jax.Array:
    """The windows of an axis on which they lie apart, with their taps on a new axis after it."""
    x = _split(x, axis, at, axis.positions, fill=fill)
    return lax.slice_in_dim(x, 0, axis.last + 1, axis.dilation, axis=at + 1)


def padded(x: jax.Array, axis: PoolAxis, at: int, length: int, *, fill: Any) -> jax.Array:
    """The axis with its padding, or without what it crops, and made ``length`` long at its end."""
    x = end_cropped(x, axis, at)
    config = [(0, 0, 0)] * x.ndim
    config[at] = (axis.before, length - axis.before - x.shape[at], 0)
    return x if config[at] == (0, 0, 0) else lax.pad(x, jnp.asarray(fill, x.dtype), config)


def end_cropped(x: jax.Array, axis: PoolAxis, at: int) -> jax.Array:
    """The axis without what a negative padding after takes off, so that no overhang reads it."""
    return lax.slice_in_dim(x, 0, max(axis.size + axis.after, 0), axis=at) if axis.after < 0 else x


def _split(x: jax.Array, axis: PoolAxis, at: int, blocks: int, *, fill: Any) -> jax.Array:
    """The axis as ``(blocks, stride)``."""
    x = padded(x, axis, at, blocks * axis.stride, fill=fill)
    return x.reshape(*x.shape[:at], blocks, axis.stride, *x.shape[at + 1 :])


def on_axis(values: Sequence[Any] | np.ndarray, at: int, ndim: int, dtype: Any) -> jax.Array:
    """A constant for each position of one axis, shaped so that it broadcasts against an array of ``ndim`` axes."""
    return jnp.asarray(np.asarray(values), dtype).reshape((1,) * at + (-1,) + (1,) * (ndim - at - 1))
