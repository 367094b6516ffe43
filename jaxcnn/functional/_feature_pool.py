"""Pools over features instead of space."""

import functools
from typing import Literal, get_args

import jax

from jaxcnn._arrays import ArrayLike
from jaxcnn._errors import check_choice
from jaxcnn._geometry import feature_groups
from jaxcnn.functional._pooling import (
    MAXIMUM,
    as_float,
    as_ordered,
    comparable,
    extremum_over,
    materialized_if_differentiated,
    narrowed,
    norm_over,
    widened,
)

Kind = Literal["max", "avg", "l2"]


def feature_pool(x: ArrayLike, size: int, *, kind: Kind = "max") -> jax.Array:
    """Pools each group of ``size`` neighbouring channels: maxout, the average, or the L2 norm over features.

    ``y[..., g] = max`` (or the average, or ``sqrt(sum of squares)``) ``over j < size of x[..., g * size + j]``. The
    gradient of the maximum goes to the first one; the gradient of the norm is 0 where the norm is 0.

    Args:
        x: ``(..., channels)``.
        size: channels per group.
        kind: ``"max"``, ``"avg"`` or ``"l2"``.

    Returns:
        ``(..., channels // size)``.

    Raises:
        ShapeError: a size that does not divide the number of channels.
        ValueError: another ``kind``.
        TypeError: a size that is not an integer, complex numbers, or booleans to average.

    Source: Goodfellow et al. (2013), "Maxout networks", section 2; Le et al. (2012), "Building high-level features
    using large scale unsupervised learning", section 3: L2 pooling.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([3., -4., 1., 2.])
    >>> F.feature_pool(x, 2), F.feature_pool(x, 2, kind="avg"), F.feature_pool(x, 2, kind="l2")
    (Array([3., 2.], dtype=float32), Array([-0.5,  1.5], dtype=float32), Array([5.      , 2.236068], dtype=float32))
    """
    x = as_ordered(x)
    check_choice(kind, get_args(Kind), name="kind")
    groups = feature_groups(x.shape[-1] if x.ndim else 0, size)
    return _feature_pool(x if kind == "max" else as_float(x), groups, kind)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _feature_pool(x: jax.Array, groups: int, kind: str) -> jax.Array:
    grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    if kind == "max":
        compared = materialized_if_differentiated(comparable(grouped))
        return narrowed(extremum_over(compared, [x.ndim], MAXIMUM), x.dtype)
    wide = widened(grouped)
    if kind == "avg":
        return (wide.sum(-1) / wide.shape[-1]).astype(x.dtype)
    return norm_over(wide, x.ndim, 2).astype(x.dtype)
