"""Keeps XLA:CPU from fusing a sum of many terms with the operations that read its result."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional._dtypes import accumulator_dtype

Sum = Callable[[jax.Array, jax.Array], jax.Array]


def in_branch(whole: Sum, short: Sum, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``whole(x, kernel)``, computed in a branch.

    XLA:CPU fuses a sum with what follows, for example a pool, which then computes it once for each position of its
    window, or fuses a long sum with a reduction in part, and writes each term of the rest to memory (jax 0.10.2 and
    0.12.0). It does not fuse across a branch whose condition it cannot evaluate. A loop would prevent the fusion too,
    but XLA runs the update of a loop's result on one thread.

    The condition is true of every kernel of real floating-point numbers; other kernels need no branch, or have no
    condition that XLA cannot evaluate.

    Args:
        whole: computes the result.
        short: computes an array of the same type, with as little code as possible; it is never executed.
        x: the input.
        kernel: the kernel.
    """
    if not jnp.issubdtype(kernel.dtype, jnp.floating):
        return whole(x, kernel)
    return lax.cond(_is_true(kernel), whole, short, x, kernel)


def _is_true(array: jax.Array) -> jax.Array:
    """True, as a value that XLA does not evaluate: an integer whose lowest bit is set is not zero."""
    total = jnp.sum(array, dtype=accumulator_dtype(array.dtype))
    bits = lax.bitcast_convert_type(total, jnp.dtype(f"uint{8 * total.dtype.itemsize}"))
    return (bits | 1) != 0
