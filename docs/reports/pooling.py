"""Three methods of halving a map, on shifted digits."""

import statistics
from typing import TYPE_CHECKING, Any

from docs.reports.report import Report, runs_of
from jaxcnn.cli._bench_tables import markdown
from jaxcnn.vis import Panel, panels_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
        figures={"pooling_invariance.png": lambda: figure(accuracy, change)},
    )


def column_means(runs: list[list[float]]) -> list[float]:
    """The mean over the runs for each shift."""
    return [statistics.fmean(values) for values in zip(*runs, strict=True)]


def figure(accuracy: Lines, change: Lines) -> "Figure":
    """Accuracy, and change of the last map, over the shift."""
    places: Any = range(len(accuracy["max"][0]))
    over = "shift in pixels"
    return panels_figure(
        [
            Panel(title="Test accuracy (%)", over=over, places=places, lines=accuracy),
            Panel(title="Change of the last map", over=over, places=places, lines=change),
        ]
    )
