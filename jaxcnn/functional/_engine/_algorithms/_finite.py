"""Keeps values that are not finite from outputs that do not read them.

Some algorithms multiply entries that an output does not read by zero, or combine them so that they cancel. Finite
entries then change nothing, or add a rounding error, but zero times infinity is NaN. If its result is not finite, such
an algorithm recomputes it by another algorithm, which reads no other entries. The check costs one pass over a few of
the outputs.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def recompute_unless_finite(
    result: jax.Array, witness: jax.Array, recompute: Callable[..., jax.Array], *operands: jax.Array
) -> jax.Array:
    """``result`` if every entry of ``witness`` is finite, else ``recompute(result, *operands)``.

    ``witness`` holds entries of ``result``, such that some of them are not finite wherever a value has spread.

    This is a loop of at most one iteration, not ``lax.cond``: XLA updates the result of a loop in place, but copies an
    array that a branch returns unchanged. The barrier ties the operands to the loop; otherwise XLA moves the
    computation out of the loop, since it is the same in every iteration, and always executes it.
    """

    def body(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        *held, spread = lax.optimization_barrier((*operands, carry[0]))
        return ~spread, recompute(carry[1], *held)

    spread = ~jnp.all(jnp.isfinite(witness))
    return lax.while_loop(lambda carry: carry[0], body, (spread, result))[1]
