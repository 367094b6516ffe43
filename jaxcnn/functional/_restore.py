"""The context manager that a switch for the whole process returns."""

import contextlib
from collections.abc import Callable
from types import TracebackType


class Restore(contextlib.AbstractContextManager[None]):
    """A context manager that undoes a change at the end of its block; without a block the change is permanent."""

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo = undo

    def __enter__(self) -> None:
        """Nothing: the change was made by the call."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Undoes the change."""
        self._undo()
