"""Rearrangements of a kernel that several formulations share."""

import jax
from jax import lax


def transpose_kernel(kernel: jax.Array, groups: int) -> jax.Array:
    """Flips the window and swaps the channels of each group: ``(*window, i, g * o)`` to ``(*window, o, g * i)``.

    Twice in a row it changes nothing.
    """
    ndim = kernel.ndim - 2
    per_group = kernel.shape[-1] // groups
    split = lax.reshape(lax.rev(kernel, range(ndim)), (*kernel.shape[:-1], groups, per_group))
    swapped = lax.transpose(split, (*range(ndim), ndim + 2, ndim + 1, ndim))
    return lax.reshape(swapped, (*kernel.shape[:-2], per_group, groups * kernel.shape[-2]))
