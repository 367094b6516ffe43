"""Composition of augmentations."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxcnn._error_context import error_context
from jaxcnn.augment._images import as_key


def chain(*functions: Callable[[jax.Array, Any], Any]) -> Callable[[jax.Array, Any], Any]:
    """Composes random functions: each is called with a separate key and the result of the previous one.

    ``chain(f, g)(key, x) = g(k[1], f(k[0], x))`` with ``k = jax.random.split(key, 2)``.

    Args:
        functions: each ``(key, x) -> x``, such as ``random_flip`` or ``functools.partial(random_crop, size=32)``.
            ``x`` may be images, or any pytree that all of the functions take.

    Returns:
        a function ``(key, x) -> x``.

    Raises:
        TypeError: an argument that cannot be called, or an invalid key.

    >>> import functools
    >>> import jax.numpy as jnp
    >>> from jaxcnn.augment import random_crop, random_flip
    >>> augment = chain(functools.partial(random_crop, size=4, padding=1), random_flip)
    >>> jax.jit(augment)(jax.random.key(0), jnp.zeros((8, 4, 4, 3))).shape
    (8, 4, 4, 3)
    """
    for number, function in enumerate(functions, 1):
        if not callable(function):
            raise TypeError(
                f"argument {number} must be a function (key, x) -> x, not {type(function).__name__}. "
                f"To set options of a function, write functools.partial(random_crop, size=32)."
            )
    return functools.partial(apply_in_turn, functions)


@error_context("chain")
def apply_in_turn(functions: tuple[Callable[[jax.Array, Any], Any], ...], key: jax.Array, x: Any) -> Any:
    keys = jax.random.split(as_key(key), len(functions))
    for one, function in zip(keys, functions, strict=True):
        x = function(one, x)
    return x
