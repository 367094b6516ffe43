"""The switch for portable operations: ``jaxcnn.export`` sets it while it traces, ``jaxcnn.functional`` reads it.

A portable program has one operation of ``jax.lax`` for each convolution and each pool, so that other runtimes recognise
them. The switch is not part of the cache keys of ``jax.jit``. Code that sets it must therefore also trace under a
setting of JAX that is part of these keys, see ``jaxcnn/export/_trace.py``.
"""

import contextlib
import contextvars
from collections.abc import Iterator

_portable: contextvars.ContextVar[bool] = contextvars.ContextVar("portable operations", default=False)


def is_portable() -> bool:
    """Whether portable operations are requested.

    >>> is_portable()
    False
    """
    return _portable.get()


@contextlib.contextmanager
def portable_operations() -> Iterator[None]:
    """Requests portable operations inside the block.

    >>> with portable_operations():
    ...     is_portable()
    True
    """
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)
