"""What the public functions take as an array, and what they refuse."""

from typing import Any

import jax.numpy as jnp

# The arrays that a function may be called without, under the one name that each has everywhere.
OPTIONAL = ("bias", "scale", "offset")


def as_arrays(who: str, **arrays: Any) -> tuple[Any, ...]:
    """Each argument as a JAX array, in the order given; one that may be left out stays None.

    Raises:
        TypeError: None for an argument that is needed, or something that is not made of numbers.
    """
    for name, array in arrays.items():
        if array is None and name not in OPTIONAL:
            raise TypeError(f"{who}: {name} wants an array, not None.")
    return tuple(None if array is None else jnp.asarray(array) for array in arrays.values())
