"""Ctrl-C, SIGTERM and SIGHUP: the first requests a stop at the next step, a second one stops at once."""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# SIGHUP is sent when a terminal or a connection is closed.
WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = "\x1b[?25h"  # a live display had hidden it


@dataclasses.dataclass
class Stop:
    """The signal that requested a stop, if any."""

    signal: int | None = None


def watched() -> list[signal.Signals]:
    """The signals that request a stop; without SIGHUP if it is ignored, as under ``nohup``."""
    return [number for number in WATCHED if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Notes the first signal; the second ends the process, with a status of 128 and its number.

    Python runs a handler only when the main thread has returned from XLA, which may take minutes for a compilation. So
    a thread reads the signals from a pipe. Checkpoints are complete at any moment, even if the process is killed.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = stop.signal or number

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    thread = threading.Thread(target=_end_at_the_second, args=(reader,), daemon=True, name="signals")
    earlier = {number: signal.signal(number, note) for number in watched()}
    earlier_pipe = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(earlier_pipe)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        os.close(writer)  # ends the thread
        thread.join()
        os.close(reader)


def _end_at_the_second(reader: int) -> None:
    seen = 0
    while number := os.read(reader, 1):
        seen += number[0] in WATCHED
        if seen == 2:
            cursor = SHOW_CURSOR if sys.stdout.isatty() else ""
            with contextlib.suppress(OSError):  # the terminal may be gone
                print(f"{cursor}stopped at once; the last checkpoint is kept", flush=True)
            os._exit(128 + number[0])
