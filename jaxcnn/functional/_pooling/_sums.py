"""Sums and p-norms over windows, in a type that holds them, and the division of averages."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._geometry import PoolAxis, PoolPlan
from jaxcnn.functional._pooling._windows import (
    Array,
    as_rows,
    by_platform,
    combine_by_doubling,
    on_axis,
    over_taps,
    padded,
    reduce_by_window,
    reduce_taps,
    reduce_windows,
    sum_of_taps,
)


def as_float(x: ArrayLike) -> jax.Array:
    """The array, with integers in the default floating type.

    Raises:
        TypeError: booleans.
    """
    x = as_array(x, name="x")
    if x.dtype == jnp.bool_:
        raise TypeError("x holds booleans. Convert it, for instance with x.astype(jnp.float32).")
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.zeros(()).dtype)


def widened(x: jax.Array) -> jax.Array:
    """The array in the type to sum it in: float32 for floating types of fewer than 32 bits."""
    return x.astype(accumulator_dtype(x.dtype))


def divided(total: jax.Array, counts: Sequence[Array], first: int) -> jax.Array:
    """Sums divided by the number of entries of each, at least 1.

    Args:
        total: the sums.
        counts: for each spatial axis the number of entries of each position.
        first: the first spatial axis.
    """
    constant: Any = 1.0  # a float, since integers of more than 31 bits are no JAX scalars
    factors = []
    for at, count in enumerate(counts, first):
        if isinstance(count, np.ndarray) and (count == count[0]).all():
            constant *= max(int(count[0]), 1)
        else:
            factors.append(on_axis(count.clip(1), at, total.ndim, total.dtype))
    return total / functools.reduce(jnp.multiply, factors, constant)


def window_sum(x: jax.Array, plan: PoolPlan) -> jax.Array:
    """The sum over each window, with zeros outside of the input."""
    first = x.ndim - 1 - len(plan)

    def by_axes(x: jax.Array) -> jax.Array:
        return reduce_windows(x, plan, first, by_taps=_sum_of_taps, by_rows=_sum_of_rows, by_doubling=_sum_by_doubling)

    return by_platform(x, plan, one_window=lambda x: reduce_by_window(x, plan, first, lax.add, 0), by_axes=by_axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _sum_of_taps(x: jax.Array, axes: PoolPlan, at: int) -> jax.Array:
    return reduce_taps(x, axes, at, lax.add, 0)


@_sum_of_taps.defjvp
def _sum_of_taps_jvp(
    axes: PoolPlan, at: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return _sum_of_taps(*primals, axes, at), sum_of_taps(*tangents, axes, at)


def _sum_of_rows(x: jax.Array, axis: PoolAxis, at: int) -> jax.Array:
    return as_rows(x, axis, at, 0).sum(at + 1)


def _sum_by_doubling(x: jax.Array, axis: PoolAxis, at: int) -> jax.Array:
    return combine_by_doubling(padded(x, axis, at, axis.span, 0), axis, at, lax.add, idempotent=False)


def window_norm(x: jax.Array, plan: PoolPlan, p: float) -> jax.Array:
    """The p-norm over each window, with zeros outside of the input: on each axis the norm of the norms of parts."""

    def by_taps(x: jax.Array, axes: PoolPlan, at: int) -> jax.Array:
        zero = jnp.zeros((), x.dtype)
        scale = _scale(over_taps((jnp.abs(x),), axes, at, lambda entry, _: entry, lax.max, zero))

        def scaled_power(entry: jax.Array, scale: jax.Array, _: int) -> jax.Array:
            return _power(entry / scale, p)

        return scale * _root(over_taps((x, scale), axes, at, scaled_power, lax.add, zero), p)

    def by_rows(x: jax.Array, axis: PoolAxis, at: int) -> jax.Array:
        return norm_over(as_rows(x, axis, at, 0), at + 1, p)

    def by_doubling(x: jax.Array, axis: PoolAxis, at: int) -> jax.Array:
        def combine(one: jax.Array, other: jax.Array) -> jax.Array:
            return norm_over(jnp.stack([one, other]), 0, p)

        return combine_by_doubling(padded(x, axis, at, axis.span, 0), axis, at, combine, idempotent=False)

    return reduce_windows(x, plan, x.ndim - 1 - len(plan), by_taps=by_taps, by_rows=by_rows, by_doubling=by_doubling)


def norm_over(x: jax.Array, axis: int, p: float) -> jax.Array:
    """The p-norm over one whole axis, ``m * sum(abs(x / m)**p)**(1 / p)`` with ``m`` the greatest ``abs(x)``.

    No power overflows or underflows unless the norm does (Blue 1978, "A portable Fortran program to find the Euclidean
    norm of a vector"). The value does not depend on ``m``, so ``m`` is a constant to every derivative.
    """
    scale = _scale(jnp.abs(x).max(axis, keepdims=True))
    return scale.squeeze(axis) * _root(_power(x / scale, p).sum(axis), p)


def magnitude(x: jax.Array) -> jax.Array:
    """``abs(x)`` with slope 0 at 0, where JAX takes 1."""
    return x * jnp.sign(x)


def _scale(greatest: jax.Array) -> jax.Array:
    """The number to divide by: 1 where all entries are 0 or one is infinite."""
    greatest = lax.stop_gradient(greatest)
    return jnp.where((greatest == 0) | jnp.isinf(greatest), jnp.ones((), greatest.dtype), greatest)


def _power(x: jax.Array, p: float) -> jax.Array:
    """``abs(x)**p``, with every derivative at 0 finite: the true one where there is one, else 0."""
    if p == 2:
        return x * x
    x = magnitude(x)
    if p.is_integer() and p < 64:
        return lax.integer_pow(x, int(p))
    zero = x == 0
    return jnp.where(zero, jnp.zeros((), x.dtype), jnp.where(zero, jnp.ones((), x.dtype), x) ** p)


def _root(total: jax.Array, p: float) -> jax.Array:
    """``total**(1 / p)``, with every derivative at 0 taken as 0."""
    if p == 1:
        return total
    zero = total == 0
    safe = jnp.where(zero, jnp.ones((), total.dtype), total)
    return jnp.where(zero, jnp.zeros((), total.dtype), jnp.sqrt(safe) if p == 2 else safe ** (1 / p))
