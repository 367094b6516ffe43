"""Networks with and without zero padding, on digits in the middle and in the corners."""

import functools
import statistics
from pathlib import Path

from docs.reports.report import Report, markdown, per_cent, runs_of
from jaxcnn.vis import Panel, draw_panels

DEPTHS = (1, 4, 7)
PLACES = ("middle", "corners")
Values = dict[str, list[list[float]]]


def report() -> Report:
    """Table and picture of the page."""
    runs = runs_of("padding_matters")
    values: Values = {  # for each depth, the fraction of each seed
        f"{padding}, {place}": [[each["measured"][place] for each in runs[f"{padding}_{depth}"]] for depth in DEPTHS]
        for padding in ("SAME", "VALID")
        for place in PLACES
    }
    head = ["padding, position of the digits", *(f"{depth} convolution{'s' * (depth > 1)}" for depth in DEPTHS)]
    means = {name: [100 * statistics.fmean(each) for each in depths] for name, depths in values.items()}
    return Report(
        tables={
            "accuracies": markdown(head, [[name, *(per_cent(each, 1) for each in values[name])] for name in values])
        },
        phrases=[
            f"{means['VALID, middle'][1] - means['VALID, corners'][1]:.0f} percentage points lower",
            "after 4 convolutions",
            "After 7 convolutions",
            "2x2 positions",
            f"{means['VALID, middle'][2]:.0f} %",
        ],
        figures={"padding_matters.png": functools.partial(draw, values)},
    )


def draw(values: Values, path: Path) -> None:
    """Accuracy over depth."""
    lines = {
        name: [[100 * value for value in run] for run in zip(*depths, strict=True)] for name, depths in values.items()
    }
    draw_panels([Panel(title="Test accuracy (%)", over="convolutions", places=DEPTHS, lines=lines)], path)
