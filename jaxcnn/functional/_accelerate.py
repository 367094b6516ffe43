"""A switch that makes existing code use the algorithms of this library."""

import contextlib

from jaxcnn.functional._engine import replace_rule, restore_rule, xla_rule
from jaxcnn.functional._restore import Restore

_is_on = False


def accelerate(enabled: bool = True) -> contextlib.AbstractContextManager[None]:
    """Makes every ``jax.lax.conv_general_dilated`` on the CPU use the algorithm that ``conv`` would use.

    Models of Flax, Equinox and Haiku do not have to be changed. Gradients, and the grouped convolutions that
    ``jax.vmap`` makes, are replaced as well, inside ``jit``, ``shard_map`` and ``pmap``. Programs that XLA partitions
    over several devices (``jit`` with sharded arguments) keep XLA's own convolution, and so do GPUs and TPUs.

    Results differ by rounding: the error of an output is a small multiple of the machine epsilon times the sum of the
    magnitudes of the products that it adds. One algorithm has a weaker bound: in 3x3 convolutions of float32 that
    ``explain_conv`` calls ``"winograd"``, the error is relative to the largest entry within five positions. Infinities
    and NaN reach only the outputs that read them.

    The switch is for the whole process, from the call on; as a context manager, until the end of the block. Each change
    discards all compiled programs (``jax.clear_caches``), which are then compiled again: switch once, not in a loop.

    Args:
        enabled: False restores XLA's own convolution.

    Returns:
        a context manager that restores the previous state; it may be ignored.

    Raises:
        TypeError: ``enabled`` is not a bool.

    Warns:
        RuntimeWarning: the lowering rule of the convolution was not found in this release of JAX; nothing is changed.

    >>> import jax, jax.numpy as jnp
    >>> x, kernel = jnp.ones((8, 28, 28, 64)), jnp.ones((3, 3, 1, 64))
    >>> def depthwise(x, kernel):
    ...     numbers = ("NHWC", "HWIO", "NHWC")
    ...     return jax.lax.conv_general_dilated(
    ...         x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=64
    ...     )
    >>> with accelerate():
    ...     "stablehlo.convolution" in jax.jit(depthwise).lower(x, kernel).as_text()
    False
    >>> "stablehlo.convolution" in jax.jit(depthwise).lower(x, kernel).as_text()
    True
    """
    if not isinstance(enabled, bool):
        raise TypeError(f"enabled must be True or False, not {enabled!r}. To undo it: accelerate(False).")
    previous = _is_on
    _switch(enabled)
    return Restore(lambda: _switch(previous))


def _switch(enabled: bool) -> None:
    global _is_on
    original = xla_rule() if enabled != _is_on else None
    if original is None:
        return
    if enabled:
        replace_rule(original)
    else:
        restore_rule(original)
    _is_on = enabled
