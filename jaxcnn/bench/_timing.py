"""Alternating measurements of several programs, so that a busy moment of the machine affects all of them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

Run = Callable[[], None]
Clock = Callable[[], float]

BURST = 0.02  # seconds of a turn, which has at least one run
MOST_RUNS = 400
SLOW = 0.5  # runs of at least this length need no run before them to warm caches and threads


@dataclasses.dataclass
class Times:
    """Seconds of every run of one peer."""

    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def minimum(self) -> float:
        """The fastest run."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The median run."""
        return statistics.median(self.seconds)


def measure(
    runs: Mapping[str, Run], *, seconds: float, least: int = 3, clock: Clock = time.perf_counter
) -> dict[str, Times]:
    """Runs the peers alternately until each has used its share of the time.

    A turn lasts ``BURST`` seconds. It begins with a run that is not counted, which warms caches and threads after the
    previous peer; runs of half a second and more need none. In every other round the first two peers are exchanged,
    since PyTorch's threads stay active for a moment and would always affect the same peer.

    Args:
        runs: for each peer a function that computes once and waits for the result, after a first call.
        seconds: for all peers together; a peer with slower runs gets ``least`` runs, or 2 if a run takes more than
            ``seconds``.
        least: the smallest number of runs of each peer.
        clock: returns the time in seconds.

    >>> now = iter(range(100))  # a clock on which every run takes a second
    >>> measure({"one": lambda: None}, seconds=3, clock=lambda: next(now))["one"].seconds
    [1, 1, 1]
    """
    times = {name: Times() for name in runs}
    share = seconds / len(runs)
    unfinished = list(runs)
    while unfinished:
        for name in unfinished:
            _turn(runs[name], times[name], clock)
        unfinished[:2] = reversed(unfinished[:2])
        unfinished = [name for name in unfinished if not _is_done(times[name], share, seconds, least)]
    return times


def _turn(run: Run, times: Times, clock: Clock) -> None:
    before = clock()
    run()
    start = now = clock()
    if start - before >= SLOW:
        times.seconds.append(start - before)
        return
    while True:
        run()
        before, now = now, clock()
        times.seconds.append(now - before)
        if now - start >= BURST or len(times.seconds) >= MOST_RUNS:
            return


def _is_done(times: Times, share: float, seconds: float, least: int) -> bool:
    enough = min(least, 2) if times.minimum > seconds else least
    count = len(times.seconds)
    return count >= MOST_RUNS or (count >= enough and sum(times.seconds) >= share)
