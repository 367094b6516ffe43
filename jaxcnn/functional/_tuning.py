"""The switch for formulations that were measured on the user's machine."""

import contextlib
import os

import jax

from jaxcnn.functional._restore import Restore
from jaxcnn.functional.lowering import tuned


def use_tuning(path: str | os.PathLike[str] | None) -> contextlib.AbstractContextManager[None]:
    """Makes ``algorithm="auto"`` take the formulations that ``jaxcnn bench --tune`` measured to be the fastest.

    Shapes that are not in the table, GPUs and TPUs, and programs that XLA splits over devices by itself keep the
    built-in rule. It holds for the whole process, from the call on; as a context manager, until the block is left. The
    environment variable ``JAXCNN_TUNED=path`` does the same from the start. Each change throws away all compiled
    programs (``jax.clear_caches``).

    Args:
        path: the table's file; None goes back to the built-in rule.

    Returns:
        a context manager that restores what held before; it may be ignored.

    Raises:
        ValueError: a file that is no table.

    Warns:
        RuntimeWarning: a table of another machine or another JAX, which is not used.

    >>> with use_tuning(None):
    ...     pass  # the built-in rule, whatever JAXCNN_TUNED says
    """
    before = tuned.set_table({} if path is None else tuned.read(path))
    jax.clear_caches()

    def undo() -> None:
        tuned.set_table(before)
        jax.clear_caches()

    return Restore(undo)
