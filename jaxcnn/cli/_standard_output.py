"""Standard output that is closed, as by ``| head -1``, or that cannot be written, as on a full disk."""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

log = logging.getLogger("jaxcnn")


class OutputError(OSError):
    """Standard output that cannot be written, with a message for the user."""


class _Guarded:
    """A stream that calls ``lost`` with the first error of writing, and discards its output from then on."""

    def __init__(self, stream: Any, lost: Callable[[OSError], None]) -> None:
        self._stream, self._lost = stream, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes, as the stream does."""
        with self._guard():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes, as the stream does."""
        with self._guard():
            self._stream.flush()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._to_nowhere()
            self._lost(error)

    def _to_nowhere(self) -> None:
        """Sends buffered and later output to the null device; otherwise Python would report an error at exit."""
        null = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError):  # a stream without a file descriptor
            os.dup2(null, self._stream.fileno())
        os.close(null)


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """Errors of standard output become one of two: ``BrokenPipeError`` where its reader has gone, else ``OutputError``.

    All that was printed inside is written when this ends without an error.
    """

    def lost(error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputError(f"standard output cannot be written: {error.strerror}.") from error

    with contextlib.redirect_stdout(_Guarded(sys.stdout, lost)):  # type: ignore[type-var]
        yield
        sys.stdout.flush()


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Lets a command continue, with one warning, when standard output or standard error is closed."""

    def lost(error: OSError) -> None:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        logging.getLogger("jaxcnn").warning(
            "standard output cannot be written (%s); training continues without it", cause
        )

    with (
        contextlib.redirect_stdout(_Guarded(sys.stdout, lost)),  # type: ignore[type-var]
        contextlib.redirect_stderr(_Guarded(sys.stderr, lambda error: None)),  # type: ignore[type-var]
    ):
        yield
        sys.stdout.flush()


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Errors in threads of libraries print nothing.

    When a checkpoint cannot be written, Orbax raises one error, which training reports, and its threads and callbacks
    end with further ones: hundreds of lines.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    silence_hooks()
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


def silence_hooks() -> None:
    """Errors that reach no caller print nothing: in threads, destructors, and callbacks from C++."""
    sys.excepthook, sys.unraisablehook, threading.excepthook = (lambda *_: None,) * 3
