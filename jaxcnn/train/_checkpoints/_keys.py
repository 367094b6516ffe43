"""Random keys in checkpoints, which hold their numbers: Orbax and NumPy have no type for keys."""

from typing import Any

import jax


def without_keys(tree: Any) -> Any:
    """The tree with the numbers of random keys in their place: Orbax and NumPy have no type for keys.

    Args:
        tree: of arrays, or of shapes, dtypes and shardings.
    """

    def plain(leaf: Any) -> Any:
        if not _is_key(leaf):
            return leaf
        if isinstance(leaf, jax.Array):
            return jax.random.key_data(leaf)
        numbers = jax.eval_shape(jax.random.key_data, leaf)
        sharding = leaf.sharding if isinstance(leaf, jax.ShapeDtypeStruct) else None
        return jax.ShapeDtypeStruct(numbers.shape, numbers.dtype, sharding=sharding)

    return jax.tree.map(plain, tree)


def with_keys(tree: Any, template: Any) -> Any:
    """The tree that ``without_keys`` made plain, with the keys that ``template`` has."""

    def wrapped(numbers: Any, leaf: Any) -> Any:
        if not _is_key(leaf):
            return numbers
        kinds: list[Any] = []
        jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), leaf)
        return jax.random.wrap_key_data(numbers, impl=kinds[0])

    return jax.tree.map(wrapped, tree, template)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
