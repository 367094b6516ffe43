"""Maximum or minimum: what the pools that choose need to know of an order."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@dataclasses.dataclass(frozen=True)
class Order:
    """Which of two entries is better."""

    greatest: bool

    def better(self, one: jax.Array, other: jax.Array) -> jax.Array:
        """The better of two entries; NaN where there is one."""
        return lax.max(one, other) if self.greatest else lax.min(one, other)

    def beats(self, late: jax.Array, early: jax.Array) -> jax.Array:
        """Whether the late entry takes the place of the early one; NaN does, so that it is not lost."""
        take = late > early if self.greatest else late < early
        return take | jnp.isnan(late) if jnp.issubdtype(late.dtype, jnp.floating) else take

    def best(self, x: jax.Array, axes: Sequence[int]) -> jax.Array:
        """The best value over some axes, which stay with length 1."""
        return x.max(axes, keepdims=True) if self.greatest else x.min(axes, keepdims=True)

    def worst(self, dtype: Any) -> Any:
        """The identity element, which padding is filled with."""
        if jnp.issubdtype(dtype, jnp.floating):
            return -jnp.inf if self.greatest else jnp.inf
        if dtype == jnp.bool_:
            return not self.greatest
        return jnp.iinfo(dtype).min if self.greatest else jnp.iinfo(dtype).max


MAXIMUM = Order(greatest=True)
MINIMUM = Order(greatest=False)


def comparable(x: jax.Array) -> jax.Array:
    """The array in a type that extrema are found in: numbers of fewer than 8 bits and 8-bit floats in a wider type.

    The conversion is exact. XLA does not compile every operation for these types, and most of them have no infinity.
    """
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits <= 8 else x
    if x.dtype != jnp.bool_ and jnp.iinfo(x.dtype).bits < 8:
        return x.astype(jnp.int8)
    return x


def narrowed(y: jax.Array, dtype: Any) -> jax.Array:
    """Extrema in the type of the input again; what a window of padding gives is the last number of that type."""
    if y.dtype == dtype:
        return y
    floating = jnp.issubdtype(dtype, jnp.floating)
    if floating and np.isinf(np.asarray(np.inf, dtype)):
        return y.astype(dtype)
    limits: Any = jnp.finfo(dtype) if floating else jnp.iinfo(dtype)
    return jnp.clip(y, jnp.asarray(limits.min, y.dtype), jnp.asarray(limits.max, y.dtype)).astype(dtype)


def is_best(entry: jax.Array, best: jax.Array) -> jax.Array:
    """Whether an entry is the best one, or NaN, as the best one then is too."""
    hit = entry == best
    return hit | (entry != entry) if jnp.issubdtype(entry.dtype, jnp.floating) else hit
