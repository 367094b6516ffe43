"""Networks of 20 and 56 layers, with and without shortcuts."""

import functools
from pathlib import Path
from typing import Any

from docs.reports.report import Report, markdown, runs_of
from jaxcnn.vis import Panel, draw_panels

METRICS = ("train/loss", "train/accuracy", "test/accuracy")
NETWORKS = ("plain-20", "plain-56", "residual-20", "residual-56")


def report() -> Report:
    """Table and picture of the page."""
    runs = runs_of("depth_of_plain_and_residual")
    histories = {name: runs[name][0]["history"] for name in NETWORKS}
    rows = [
        [name] + [in_words(metric, history[metric][-1]) for metric in METRICS] for name, history in histories.items()
    ]
    final = {name: 100 * history["test/accuracy"][-1] for name, history in histories.items()}
    return Report(
        tables={"networks": markdown(["network", "training loss", "training accuracy", "test accuracy"], rows)},
        phrases=[
            "56 plain layers",
            "20 plain layers",
            f"{final['plain-20'] - final['plain-56']:.0f} percentage points lower",
            f"{final['residual-56'] - final['plain-56']:.0f} points to 56 layers",
            f"{final['residual-20'] - final['plain-20']:.0f} points to 20 layers",
        ],
        figures={"depth.png": functools.partial(draw, histories)},
    )


def in_words(metric: str, value: float) -> str:
    """A loss as a number, an accuracy in per cent."""
    return f"{value:.3f}" if metric.endswith("loss") else f"{100 * value:.1f} %"


def draw(histories: dict[str, dict[str, Any]], path: Path) -> None:
    """Training loss and test accuracy after each epoch."""

    def panel(title: str, metric: str, factor: float, limits: tuple[float, float]) -> Panel:
        lines = {name: [[factor * value for value in history[metric]]] for name, history in histories.items()}
        return Panel(title=title, over="step", places=histories["plain-20"]["step"], lines=lines, limits=limits)

    draw_panels(
        [
            panel("Training loss", "train/loss", 1, (0, 2.5)),
            panel("Test accuracy (%)", "test/accuracy", 100, (0, 100)),
        ],
        path,
    )
