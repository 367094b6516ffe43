"""Three methods of halving a map, on shifted digits."""

import functools
import statistics
from pathlib import Path
from typing import Any

from docs.reports.report import Report, markdown, runs_of
from jaxcnn.vis import Panel, draw_panels

METHODS = {"max": "maximum", "mean": "mean", "none": "one of four"}
Lines = dict[str, list[list[float]]]


def report() -> Report:
    """Tables and picture of the page."""
    runs = runs_of("pooling_invariance")
    accuracy: Lines = {
        name: [[100 * v for v in each["measured"]["accuracy"]] for each in runs[name]] for name in METHODS
    }
    change: Lines = {name: [each["measured"]["change"] for each in runs[name]] for name in METHODS}
    head = ["shift in pixels", *map(str, range(len(accuracy["max"][0])))]
    means = {name: column_means(values) for name, values in accuracy.items()}
    return Report(
        tables={
            "accuracy": markdown(head, [[METHODS[name], *(f"{v:.1f} %" for v in means[name])] for name in METHODS]),
            "change": markdown(
                head, [[METHODS[name], *(f"{v:.2f}" for v in column_means(change[name]))] for name in METHODS]
            ),
        },
        phrases=[
            "shift of 2 pixels",
            f"{means['none'][2]:.0f} % without pooling, {means['max'][2]:.0f} % with the maximum",
            f"{means['mean'][2]:.0f} % with the mean",
            "up to 3 pixels",
            "Zhang (2019",
            "At 4 pixels, a quarter of a digit",
            f"{100 - means['max'][4]:.0f} % of the digits",
        ],
        figures={"pooling_invariance.png": functools.partial(draw, accuracy, change)},
    )


def column_means(runs: list[list[float]]) -> list[float]:
    """The mean over the runs for each shift."""
    return [statistics.fmean(values) for values in zip(*runs, strict=True)]


def draw(accuracy: Lines, change: Lines, path: Path) -> None:
    """Accuracy, and change of the last map, over the shift."""
    places: Any = range(len(accuracy["max"][0]))
    over = "shift in pixels"
    draw_panels(
        [
            Panel(title="Test accuracy (%)", over=over, places=places, lines=accuracy),
            Panel(title="Change of the last map", over=over, places=places, lines=change),
        ],
        path,
    )
