"""Maximum or minimum: what the pools that choose need to know of an order."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
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
        """The value that is better than none: padding is filled with it."""
        if jnp.issubdtype(dtype, jnp.floating):
            return -jnp.inf if self.greatest else jnp.inf
        if dtype == jnp.bool_:
            return not self.greatest
        return jnp.iinfo(dtype).min if self.greatest else jnp.iinfo(dtype).max


MAXIMUM = Order(greatest=True)
MINIMUM = Order(greatest=False)


def is_best(entry: jax.Array, best: jax.Array) -> jax.Array:
    """Whether an entry is the best one, or NaN, as the best one then is too."""
    hit = entry == best
    return hit | (entry != entry) if jnp.issubdtype(entry.dtype, jnp.floating) else hit
