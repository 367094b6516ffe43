"""Figure 1 of the batch norm paper: test accuracy over the steps, and percentiles of the input of a sigmoid."""

import functools
import statistics
from pathlib import Path
from typing import Any

from docs.reports.report import Report, markdown, per_cent, runs_of, spread
from jaxcnn.vis import Panel, draw_panels

FILES = {0.1: "bn_mnist/slow", 1: "bn_mnist"}  # by learning rate
ARMS = {"with": "with_norm", "without": "without_norm"}
GOAL = 0.95
Runs = list[dict[str, Any]]


def report() -> Report:
    """Tables and pictures of the page."""
    rates = {rate: {arm: runs_of(file)[variant] for arm, variant in ARMS.items()} for rate, file in FILES.items()}
    accuracy, movement = [], []
    for rate, arms in rates.items():
        for arm, runs in arms.items():
            reached = ", ".join(f"{steps_to_goal(run):,}" for run in runs)
            accuracy.append([f"{rate:g}", arm, per_cent([run["test/accuracy"] for run in runs]), reached])
            measured = [spread([run["measured"][name] for run in runs], 3) for name in ("growth", "drift", "wobble")]
            movement.append([f"{rate:g}", arm, *measured])
    slow, fast = rates[0.1], rates[1]
    return Report(
        tables={
            "accuracy": markdown(["rate", "batch norm", "test accuracy", "steps to 95 %, each seed"], accuracy),
            "movement": markdown(["rate", "batch norm", "growth", "drift", "wobble"], movement),
        },
        phrases=[
            "a rate of 0.1",
            "a rate of 1",
            f"reaches 95 % in {mean_steps(slow['with']) / mean_steps(slow['without']):.2f} of the steps",
            f"ends {gain(slow):.1f} percentage points higher",
            f"ends {gain(fast):.1f} points higher",
            f"by a factor of {mean(slow['without'], 'growth'):.0f} without batch norm",
            f"of {mean(slow['with'], 'growth'):.1f} with it",
            f"drifts {mean(slow['without'], 'drift') / mean(slow['with'], 'drift'):.1f} times as far",
            f"by factors of {mean(fast['without'], 'growth'):.1f} and {mean(fast['with'], 'growth'):.1f}",
            f"{mean(fast['without'], 'drift') / mean(fast['with'], 'drift'):.1f} times as far without batch norm",
        ],
        figures={
            "bn_mnist_slow.png": functools.partial(draw, slow, 80),
            "bn_mnist.png": functools.partial(draw, fast, 92),
        },
    )


def steps_to_goal(run: dict[str, Any]) -> int:
    """The first evaluated step of a run at which its test accuracy is at least the goal."""
    history = run["history"]
    return next(
        int(step) for step, value in zip(history["step"], history["test/accuracy"], strict=True) if value >= GOAL
    )


def mean_steps(runs: Runs) -> float:
    """The mean of ``steps_to_goal``."""
    return statistics.fmean(map(steps_to_goal, runs))


def mean(runs: Runs, name: str) -> float:
    """The mean of a measured value."""
    return statistics.fmean(run["measured"][name] for run in runs)


def gain(arms: dict[str, Runs]) -> float:
    """The percentage points that batch norm adds to the test accuracy."""
    final = {arm: statistics.fmean(run["test/accuracy"] for run in runs) for arm, runs in arms.items()}
    return 100 * (final["with"] - final["without"])


def draw(arms: dict[str, Runs], lowest: float, path: Path) -> None:
    """Accuracies of all runs above ``lowest`` per cent, and a unit of seed 0 without and with batch norm."""

    def unit(arm: str) -> Panel:
        measured = arms[arm][0]["measured"]
        low, middle, high = measured["percentiles"]
        lines = {"85 %": [high], "50 %": [middle], "15 %": [low]}
        title = f"A unit's input, {arm} batch norm"
        return Panel(title=title, over="step", places=measured["step"], lines=lines, limits=(-5, 7))

    accuracies = Panel(
        title="Test accuracy (%)",
        over="step",
        places=arms["with"][0]["history"]["step"],
        lines={
            f"{arm} batch norm": [[100 * value for value in run["history"]["test/accuracy"]] for run in runs]
            for arm, runs in arms.items()
        },
        limits=(lowest, 98.5),
    )
    draw_panels([accuracies, unit("without"), unit("with")], path)
