"""CIFAR-10 to 94 % on two cores: runs with a trained and with a frozen bias of the whitening layer."""

import functools
from pathlib import Path
from typing import Any

from docs.reports.report import Report, markdown, per_cent, read_results
from jaxcnn._reprs import duration
from jaxcnn.vis import Panel, draw_panels

FILES = {
    "cifar10_speedrun": "trained for 3 epochs",
    "cifar10_speedrun/frozen_bias_9_epochs": "frozen",
    "cifar10_speedrun/frozen_bias_10_epochs": "frozen",
}


def report() -> Report:
    """Table and picture of the page."""
    results = {name: read_results(name) for name in FILES}
    rows = [
        [
            FILES[name],
            str(result["settings"]["epochs"]),
            str(result["seeds"]),
            per_cent([run["test/accuracy"] for run in result["runs"]]),
            duration(result["wall_seconds"]["mean"]),
        ]
        for name, result in results.items()
    ]
    main, frozen = (results[name] for name in list(FILES)[:2])
    seconds = main["wall_seconds"]["mean"]
    each = " and ".join(f"{100 * run['test/accuracy']:.2f} %" for run in main["runs"])
    head = ["bias of the whitening layer", "epochs", "seeds", "test accuracy", "time of a run"]
    return Report(
        tables={"runs": markdown(head, rows)},
        phrases=[
            f"reach {each}",
            f"in {seconds / 60:.0f} minutes",
            f"{frozen['wall_seconds']['mean'] / seconds:.2f} of the time",
        ],
        figures={"speedrun.png": functools.partial(draw, main)},
    )


def draw(result: dict[str, Any], path: Path) -> None:
    """Training loss and training accuracy over the steps; the test images are evaluated once, at the end."""

    def panel(title: str, metric: str, factor: float) -> Panel:
        runs = [[factor * value for value in run["history"][metric]] for run in result["runs"]]
        return Panel(title=title, over="step", places=result["runs"][0]["history"]["step"], lines={"two seeds": runs})

    draw_panels([panel("Training loss", "train/loss", 1), panel("Training accuracy (%)", "train/accuracy", 100)], path)
