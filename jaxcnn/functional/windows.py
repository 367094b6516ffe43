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

from jaxcnn.shapes.axes import IntPerAxis, window_per_axis
from jaxcnn.shapes.padding import Padding
from jaxcnn.shapes.patches import split_image_shape
from jaxcnn.shapes.pool import PoolAxis, PoolPlan, plan_pool

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
    who: str,
) -> PoolPlan:
    """The windows of a pool over the axes before the last one of ``x``, as many as ``window_shape`` has entries."""
    _, sizes = split_image_shape(x.shape, len(window_per_axis(window_shape, who=who)), who=who)
    return plan_pool(
        sizes,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
        who=who,
    )


def taps(x: jax.Array, axis: PoolAxis, at: int, *, fill: Any) -> list[jax.Array]:
    """One array per tap of the window, each with ``axis.positions`` entries on axis ``at``; outside lies ``fill``.

    With strides, the axis is first split into ``(blocks, stride)``, so that a tap is a dense slice of one phase. Its
    transpose, which the backward pass runs, is then dense as well: twice as fast on CPUs as strided slices.
    """
    count, stride = axis.positions, axis.stride
    if stride == 1:
        x = pad_to(x, at, axis.before, axis.last + count, fill=fill)
        return [lax.slice_in_dim(x, j, j + count, axis=at) for j in range(0, axis.last + 1, axis.dilation)]
    blocks = axis.last // stride + count
    x = pad_to(x, at, axis.before, blocks * stride, fill=fill)
    x = x.reshape(*x.shape[:at], blocks, stride, *x.shape[at + 1 :])
    parts = []
    for offset in range(0, axis.last + 1, axis.dilation):
        block, phase = divmod(offset, stride)
        part = lax.index_in_dim(x, phase, axis=at + 1, keepdims=False)
        parts.append(lax.slice_in_dim(part, block, block + count, axis=at))
    return parts


def pad_to(x: jax.Array, at: int, before: int, length: int, *, fill: Any) -> jax.Array:
    """Puts ``before`` entries of ``fill`` before axis ``at``, and after it what makes it ``length`` long, or crops."""
    after = length - before - x.shape[at]
    if before == after == 0:
        return x
    config = [(0, 0, 0)] * x.ndim
    config[at] = (before, after, 0)
    return lax.pad(x, jnp.asarray(fill, x.dtype), config)


def on_axis(values: Sequence[Any] | np.ndarray, at: int, ndim: int, dtype: Any) -> jax.Array:
    """A constant for each position of one axis, shaped so that it broadcasts against an array of ``ndim`` axes."""
    return jnp.asarray(np.asarray(values), dtype).reshape((1,) * at + (-1,) + (1,) * (ndim - at - 1))
