"""The best entry of each window of a few taps; the first tap that holds it gets the whole derivative.

The value is a chain of maxima of shifted slices. Only where it is differentiated, a second pass tells for each window
which tap is the first to equal the value, as a number of one byte. The derivative takes from each window the tangent
at that tap; its transpose compares numbers to find the entry that gets a cotangent back. Nothing is scattered or
gathered, so gradients are bitwise the same on every run, on GPUs as well, and exist to any order in both modes. XLA's
own gradient of a windowed maximum scatters, and takes 20 to 50 times as long on two CPU cores.

What was found is kept behind an ``optimization_barrier``, or XLA would find the first tap again for every entry that
a cotangent may go to.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._geometry import PoolPlan
from jaxcnn.functional._materialized import materialized
from jaxcnn.functional.ordering import Order, is_best
from jaxcnn.functional.taps import NO_TAP, add_told_taps, over_taps, reduce_taps


def tap_value(x: jax.Array, plan: PoolPlan, order: Order) -> jax.Array:
    """The best entry of each window."""
    return reduce_taps(x, plan, order.better, order.worst(x.dtype))


best_tap = jax.custom_jvp(tap_value, nondiff_argnums=(1, 2))
"""``tap_value`` with a derivative, for floating types and fewer than 254 taps."""


@best_tap.defjvp
def _differentiate(
    plan: PoolPlan, order: Order, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    best = lax.optimization_barrier(best_tap(x, plan, order))
    taps = materialized(first_taps(lax.stop_gradient(x), lax.stop_gradient(best), plan))
    return best, add_told_taps(tangent, plan, taps)


def first_taps(x: jax.Array, best: jax.Array, plan: PoolPlan) -> jax.Array:
    """The number of the first tap of each window that holds the best entry, or ``NO_TAP`` where all is padding.

    The last tap of a window that reads the input needs no comparison: if it is none of the others, it is this one. So
    every window with an entry has a tap, whatever the comparisons give.
    """
    none = jnp.uint8(NO_TAP)

    def number(entry: jax.Array, best: jax.Array, tap: int) -> jax.Array:
        return jnp.where(is_best(entry, best), jnp.uint8(tap), none)

    taps = over_taps((x, best), plan, number, lax.min, none)
    return lax.min(taps, jnp.broadcast_to(jnp.asarray(_last_taps(plan), jnp.uint8), taps.shape))


def _last_taps(plan: PoolPlan) -> np.ndarray:
    """The number of the last tap of each window that reads the input, or ``NO_TAP``, with an axis for channels."""
    last = np.zeros((), int)
    for axis in plan:
        inside = np.array([axis.inside(tap) for tap in range(axis.window)])
        here = np.where(inside.any(0), axis.window - 1 - inside[::-1].argmax(0), NO_TAP)
        missing = (last[..., None] == NO_TAP) | (here == NO_TAP)
        last = np.where(missing, NO_TAP, last[..., None] * axis.window + here)
    return last[..., None]
