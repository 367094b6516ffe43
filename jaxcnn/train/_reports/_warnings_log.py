"""Warnings of a run: printed, and kept in a file of its folder with their times."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("jaxcnn")


class _Quiet(logging.FileHandler):
    """Creates its file with the first warning; errors of writing, such as a full disk, are ignored."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, delay=True, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Does nothing: the warning is also printed."""


@contextlib.contextmanager
def warnings_kept(path: Path) -> Iterator[None]:
    """Appends warnings to a file, and prints them to standard error if no other handler does."""
    handlers: list[logging.Handler] = [_Quiet(path)]
    # Absl, which Orbax imports, prints to standard error; without it a logger with a handler would not print.
    if not log.hasHandlers() and logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
        handlers[0].close()
