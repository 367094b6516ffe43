"""One switch that gives existing code the algorithms of this library."""

import contextlib

from jaxcnn.functional._restore import Restore
from jaxcnn.functional.lowering import lax_rule

_is_on = False


def accelerate(enabled: bool = True) -> contextlib.AbstractContextManager[None]:
    """Makes every ``jax.lax.conv_general_dilated`` on the CPU take the algorithm that ``conv`` would take.

    A model of Flax, Equinox or Haiku need not be changed: gradients, and the grouped convolutions that ``jax.vmap``
    makes, are replaced as well, inside ``jit``, ``shard_map`` and ``pmap``. Programs that XLA partitions over several
    devices (``jit`` with sharded arguments) keep XLA's own convolution, and so do GPUs and TPUs.

    Results differ by rounding: the error of an output is a small multiple of the machine epsilon times the sum of the
    magnitudes of the products that it adds. One algorithm has a weaker bound: in 3x3 convolutions of float32 that
    ``explain_conv`` calls ``"winograd"``, the error is relative to the largest entry within five positions. Infinities
    and NaN reach only the outputs that read them.

    It holds for the whole process, from the call on; as a context manager, until the block is left. Each change throws
    away all compiled programs (``jax.clear_caches``), which are then compiled again: switch once, not in a loop.

    Args:
        enabled: False gives XLA its convolution back.

    Returns:
        a context manager that restores what held before; it may be ignored.

    Raises:
        TypeError: ``enabled`` is not a truth value.

    Warns:
        RuntimeWarning: a JAX that keeps its rules where this library does not know to look; nothing is changed then.

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
        raise TypeError(f"enabled wants True or False, not {enabled!r}. To undo it: accelerate(False).")
    before = _is_on
    _switch(enabled)
    return Restore(lambda: _switch(before))


def _switch(enabled: bool) -> None:
    global _is_on
    stock = lax_rule.stock_rule() if enabled != _is_on else None
    if stock is None:
        return
    if enabled:
        lax_rule.take_over(stock)
    else:
        lax_rule.give_back(stock)
    _is_on = enabled
