"""The cost of a live view on lenet5_digits: ``python -m docs.bench.live_view``, for docs/live_view.md.

A run trains in this process. Phases with a reader, which reads the frames like a browser, alternate with phases without
one. CPU time of the process is measured, of all its threads, so that other programs of the machine hardly matter.
"""

import contextlib
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcnn import live, train

STEPS = 66  # of a phase: three epochs
PHASES = 10


class Clock(train.Callback):
    """Records the CPU time of the process at each step."""

    every = 1

    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, record: Mapping[str, Any]) -> None:
        """Records the time."""
        self.times.append(time.process_time())


def read(url: str, stop: threading.Event, frames: list[bytes]) -> None:
    """Reads the events as a browser would, until it is asked to stop."""
    with contextlib.closing(urllib.request.urlopen(f"{url}events")) as stream:
        for line in stream:
            if line.startswith(b'data: {"layers"'):
                frames.append(line)
            if stop.is_set():
                return


def phase(clock: Clock, url: str, reading: bool, frames: list[bytes]) -> tuple[float, int]:
    """The CPU seconds of a step, and the number of frames."""
    stop, first = threading.Event(), len(frames)
    reader = threading.Thread(target=read, args=(url, stop, frames))
    if reading:
        reader.start()
        while len(frames) == first:
            time.sleep(0.05)
    begun, first = len(clock.times), len(frames)
    while len(clock.times) < begun + STEPS:
        time.sleep(0.05)
    seconds = (clock.times[begun + STEPS - 1] - clock.times[begun]) / (STEPS - 1)
    found = len(frames) - first
    if reading:
        stop.set()
        reader.join()
    return seconds, found


def main() -> None:
    """Prints the figures."""
    train.keep_compiled_programs()
    lenet = train.find_experiment("lenet5_digits")
    experiment = lenet.build(lenet.config_class(epochs=10_000))
    clock, view, done = Clock(), live.LiveView(experiment), threading.Event()
    place = Path(tempfile.mkdtemp()) / "run"
    options = {"callbacks": [clock, view], "should_stop": done.is_set}
    run = threading.Thread(target=train.fit, args=(experiment, place), kwargs=options)
    run.start()
    while not clock.times:
        time.sleep(0.1)
    frames: list[bytes] = []
    phase(clock, view.url, True, frames)  # the program of frames is compiled in here
    found: dict[bool, list[tuple[float, int]]] = {False: [], True: []}
    for _ in range(PHASES // 2):
        for reading, measured in found.items():
            measured.append(phase(clock, view.url, reading, frames))
    done.set()
    run.join()
    without, seen = (statistics.median(seconds for seconds, _ in found[reading]) for reading in (False, True))
    count = sum(number for _, number in found[True]) / (STEPS * len(found[True]))
    sizes = [len(line) for line in frames]
    print(f"a step without a reader: {1000 * without:.2f} ms of CPU time, {[s for s, _ in found[False]]}")
    print(f"a step with one: {1000 * seen:.2f} ms, with {count:.3f} frames a step, {[s for s, _ in found[True]]}")
    if count:
        print(f"a frame: {1000 * (seen - without) / count:.2f} ms, {statistics.mean(sizes) / 1000:.0f} kB")

    # The cost of a view without a reader at each step, outside of a run.
    board = live.LiveView(experiment)
    record = {"step": 1, "epoch": 1, "batch/loss": 0.5, "batch/accuracy": 0.5}
    began = time.process_time()
    for step in range(1000):
        board.looks(step)
        board.holds(step)
        board.step({**record, "step": step})
    spent = (time.process_time() - began) / 1000
    board.close()
    print(f"a view that nobody looks at: {1e6 * spent:.0f} us a step, {100 * spent / without:.2f} % of it")


if __name__ == "__main__":
    main()
