"""What a switch of the whole process returns: nothing to use, and a way back."""

import contextlib
from collections.abc import Callable
from types import TracebackType


class Restore(contextlib.AbstractContextManager[None]):
    """A context manager that undoes a change when its block is left; without a block the change stays."""

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo = undo

    def __enter__(self) -> None:
        """Nothing: the change was made by the call."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Undoes the change."""
        self._undo()
