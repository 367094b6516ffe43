"""Keys that draw for a whole batch and keep one device's part: the same noise for any number of devices."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random as extend_random

_BASE = "threefry2x32"


def part_key(key: jax.Array, part: jax.Array, *, parts: int, rows: int) -> jax.Array:
    """A key for part number ``part`` of a batch of ``parts`` times ``rows`` examples.

    A draw whose shape begins with ``rows``, one for each example, is that part of the draw of ``key`` for all examples;
    a draw of any other shape is that of ``key`` itself. So dropout inside of ``shard_map`` or ``pmap`` draws the same
    numbers as on one device. Keys that are split or folded from it behave in the same way.

    >>> key = jax.random.key(0)
    >>> parts = [part_key(key, jnp.uint32(part), parts=2, rows=3) for part in (0, 1)]
    >>> drawn = jnp.concatenate([jax.random.uniform(part, (3,)) for part in parts])
    >>> bool((drawn == jax.random.uniform(key, (6,))).all())
    True
    """
    words = jnp.concatenate([jax.random.key_data(key), part.astype(jnp.uint32)[None]])
    return jax.random.wrap_key_data(words, impl=_implementation(parts, rows))


@functools.cache
def _implementation(parts: int, rows: int) -> Any:
    """JAX's threefry with one word more, the number of the part."""

    def whole(words: jax.Array) -> jax.Array:
        return jax.random.wrap_key_data(words[:2], impl=_BASE)

    def of_part(words: jax.Array, keys: jax.Array) -> jax.Array:
        part = jnp.broadcast_to(words[2:], (*keys.shape, 1))
        return jnp.concatenate([jax.random.key_data(keys), part], axis=-1)

    def seed(number: jax.Array) -> jax.Array:
        return jnp.append(jax.random.key_data(jax.random.key(number, impl=_BASE)), jnp.uint32(0))

    def split(words: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return of_part(words, jax.random.split(whole(words), shape))

    def fold_in(words: jax.Array, number: Any) -> jax.Array:
        return of_part(words, jax.random.fold_in(whole(words), number))

    def random_bits(words: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
        dtype = jnp.dtype(f"uint{width}")
        if not shape or shape[0] != rows:
            return jax.random.bits(whole(words), shape, dtype)
        bits = jax.random.bits(whole(words), (parts * rows, *shape[1:]), dtype)
        return lax.dynamic_slice_in_dim(bits, words[2].astype(jnp.int32) * rows, rows)

    return extend_random.define_prng_impl(
        key_shape=(3,),
        seed=seed,
        split=split,
        random_bits=random_bits,
        fold_in=fold_in,
        name=f"part_of_{parts}_by_{rows}",
        tag="part",
    )
