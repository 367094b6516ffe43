"""The content of the page, shared by the thread that trains and the threads that write to browsers.

The thread that trains only replaces values here. It never waits for a browser: a slow one is sent the latest frame,
and the frames between are dropped.
"""

import base64
import contextlib
import json
import math
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

MOST_POINTS = 4000  # of the curves of batches; beyond that every second one is dropped
PING_SECONDS = 2.0  # after this time without changes a comment is sent, which fails if the browser is gone
PAUSE_SECONDS = 0.1  # between two messages to one browser


class Board:
    """Curves, state and the latest frame of a run, and the number of browsers that show them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._about: dict[str, Any] = {}
        self._state: dict[str, Any] = {}
        self._points: list[list[Any]] = []
        self._epochs: list[dict[str, Any]] = []
        self._frame: dict[str, Any] | None = None
        self._version, self._rewritten, self._every, self._closed = 0, 0, 1, False
        self.readers = 0

    def describe(self, **about: Any) -> None:
        """Sets the values that do not change during a run; they are sent to each browser first."""
        with self._change():
            self._about |= about

    def update_state(self, **state: Any) -> None:
        """Changes entries of the state, such as the step and whether the run is paused."""
        with self._change():
            self._state |= state

    def add_point(self, step: int, figures: Mapping[str, float]) -> None:
        """Adds the figures of a step to the curves."""
        with self._change():
            if step % self._every == 0:
                self._points.append([step, dict(figures)])
            if len(self._points) > MOST_POINTS:
                self._every *= 2
                self._points = [point for point in self._points if point[0] % self._every == 0]
                self._rewritten += 1

    def add_epoch(self, record: Mapping[str, Any]) -> None:
        """Adds the record of an epoch."""
        with self._change():
            self._epochs.append(dict(record))

    def replace_epochs(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the records of all epochs."""
        with self._change():
            self._epochs = [dict(record) for record in records]
            self._rewritten += 1

    def show(self, frame: dict[str, Any]) -> None:
        """Replaces the frame."""
        with self._change():
            self._frame = frame

    def close(self) -> None:
        """Ends all streams after the latest changes are sent."""
        with self._change():
            self._closed = True

    def drain(self, seconds: float) -> None:
        """Waits until all streams have ended, but no longer than this."""
        with self._changed:
            self._changed.wait_for(lambda: not self.readers, seconds)

    def events(self) -> Generator[bytes, None, None]:
        """Server-sent events for one browser, until ``close``; it counts as a reader meanwhile."""
        with self._as_reader():
            yield b"retry: 2000\n\n"
            seen, rewritten, points, epochs = -1, -1, 0, 0
            frame: Any = None
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._version != seen or self._closed, PING_SECONDS)  # noqa: B023
                    messages: list[tuple[str, Any]] = []
                    if seen == -1:
                        messages.append(("about", self._about))
                    if self._version != seen:
                        messages.append(("state", dict(self._state)))
                    if self._rewritten != rewritten:
                        points = epochs = 0
                    added = {"points": self._points[points:], "epochs": self._epochs[epochs:]}
                    if self._rewritten != rewritten or any(added.values()):
                        messages.append(("curves", {**added, "again": self._rewritten != rewritten}))
                    if self._frame is not frame:
                        messages.append(("frame", self._frame))
                    seen, rewritten, frame = self._version, self._rewritten, self._frame
                    points, epochs, closed = len(self._points), len(self._epochs), self._closed
                for kind, content in messages:
                    yield event(kind, content)
                if closed:
                    yield event("end", {})
                    return
                if not messages:
                    yield b": nothing new\n\n"
                time.sleep(PAUSE_SECONDS)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        with self._changed:
            yield
            self._version += 1
            self._changed.notify_all()

    @contextlib.contextmanager
    def _as_reader(self) -> Iterator[None]:
        with self._change():
            self.readers += 1
        try:
            yield
        finally:
            with self._change():
                self.readers -= 1


def event(kind: str, content: Any) -> bytes:
    """A server-sent event with JSON; numbers that are not finite are null, and arrays of bytes base64.

    >>> event("state", {"loss": float("nan")})
    b'event: state\\ndata: {"loss":null}\\n\\n'
    """
    text = json.dumps(_plain(content), separators=(",", ":"), allow_nan=False)
    return f"event: {kind}\ndata: {text}\n\n".encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return {"size": list(value.shape), "bytes": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
