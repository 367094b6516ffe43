"""The order of timed runs, checked with a clock that only the runs advance."""

import pytest

from jaxcnn.bench._timing import BURST, MOST_RUNS, measure


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, *seconds: float) -> object:
        """A run whose durations cycle through the given seconds."""
        calls = iter(range(10**9))

        def run() -> None:
            self.order.append(name)
            self.now += seconds[next(calls) % len(seconds)]

        return run


def test_slow_peers_take_turns_and_every_run_counts() -> None:
    clock = Clock()
    peers = {"a": clock.run("a", 1.0), "b": clock.run("b", 2.0), "c": clock.run("c", 3.0)}
    times = measure(peers, seconds=9, clock=clock)
    assert "".join(clock.order) == "abcbacabc"  # a and b take turns after c
    assert times["a"].seconds == [1.0] * 3 and times["b"].seconds == [2.0] * 3


def test_a_turn_of_a_fast_peer_begins_with_a_run_that_does_not_count() -> None:
    clock = Clock()
    times = measure({"a": clock.run("a", 0.015), "b": clock.run("b", 1.0)}, seconds=2, clock=clock)
    assert clock.order[:4] == ["a", "a", "a", "b"]  # one run to warm the caches, two until the burst is over
    counted = len(times["a"].seconds)
    turns = counted // 2
    assert clock.order.count("a") == 3 * turns
    assert sum(times["a"].seconds) == pytest.approx(1.0, abs=2 * BURST)


def test_very_slow_peers_run_twice_and_very_fast_ones_not_for_ever() -> None:
    clock = Clock()
    times = measure({"slow": clock.run("slow", 9.0), "fast": clock.run("fast", 1e-9)}, seconds=1, clock=clock)
    assert len(times["slow"].seconds) == 2
    assert len(times["fast"].seconds) == MOST_RUNS


def test_median_and_minimum() -> None:
    clock = Clock()
    times = measure({"a": clock.run("a", 3.0, 1.0, 2.0)}, seconds=5, clock=clock)["a"]
    assert (times.minimum, times.median) == (1.0, 2.0)
