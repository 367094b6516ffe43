"""A switch for the tables of algorithms that were measured on the user's machine."""

import contextlib
import os

import jax

from jaxcnn.functional._engine import read_table, set_table
from jaxcnn.functional._restore import Restore


def use_tuning(path: str | os.PathLike[str] | None) -> contextlib.AbstractContextManager[None]:
    """Makes ``algorithm="auto"`` select the algorithms that ``jaxcnn bench --tune`` measured as the fastest.

    Shapes that are not in the table, GPUs and TPUs, and programs that XLA partitions over devices keep the estimates.
    The switch is for the whole process, from the call on; as a context manager, until the end of the block. The
    environment variable ``JAXCNN_TUNED=path`` does the same from the start. Each change discards all compiled programs
    (``jax.clear_caches``).

    Args:
        path: the table's file; None restores the estimates.

    Returns:
        a context manager that restores the previous table; it may be ignored.

    Raises:
        ValueError: the file is not a table.

    Warns:
        RuntimeWarning: the table is not used, because it is from another machine or another JAX.

    >>> with use_tuning(None):
    ...     pass  # estimates, even if JAXCNN_TUNED names a table
    """
    previous = set_table({} if path is None else read_table(path))
    jax.clear_caches()

    def undo() -> None:
        set_table(previous)
        jax.clear_caches()

    return Restore(undo)
