"""Arrays that XLA computes once, however many operations read them.

XLA fuses the operations that make an array into each operation that reads it, and may round them differently in each:
in one a multiplication and an addition become one instruction, in another they stay two. Two readers then read two
values of one entry, and an entry that one of them found by its value is not found by the other.

``lax.optimization_barrier`` forbids this on every platform. On CPUs the releases of XLA before JAX 0.11 remove the
barrier before they fuse, so there it is in a function of its own that is not inlined. The call returns the buffer of
its argument; nothing is copied.
"""

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from jaxcnn._portable import is_portable


@jax.custom_jvp
def materialized(x: jax.Array) -> jax.Array:
    """``x``, in one buffer that all readers of the result share. Tangents pass through without a buffer."""
    if is_portable():
        return lax.optimization_barrier(x)
    return lax.platform_dependent(x, cpu=_not_inlined, default=lax.optimization_barrier)


@materialized.defjvp
def _materialized_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return materialized(*primals), *tangents


@jax.custom_jvp
def materialized_if_differentiated(x: jax.Array) -> jax.Array:
    """``x``, as ``materialized`` gives it where a derivative is taken; elsewhere XLA is free to fuse."""
    return x


materialized_if_differentiated.defjvp(_materialized_jvp)


def _not_inlined(x: jax.Array) -> jax.Array:
    with set_xla_metadata(inlineable="false"):
        return _barrier(x)


@jax.jit
def _barrier(x: jax.Array) -> jax.Array:
    return lax.optimization_barrier(x)
