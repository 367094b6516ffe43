"""Training from scratch and fine-tuning, with few labels."""

import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.reports.report import Report, markdown, per_cent, read_results, spread
from jaxcnn.vis import draw_sweep

FILES = {
    "from scratch": ["finetune_mnist/scratch_5", "finetune_mnist/scratch_10", "finetune_mnist/scratch_50"],
    "pre-trained on 0 to 4": ["finetune_mnist/pretrained_5", "finetune_mnist", "finetune_mnist/pretrained_50"],
}


def report() -> Report:
    """Table and picture of the page."""
    groups = {name: [read_results(file) for file in files] for name, files in FILES.items()}
    rows, phrases = [], []
    for scratch, trained in zip(*groups.values(), strict=True):
        labels = scratch["settings"]["labels_per_class"]
        gains = gain(scratch, trained)
        rows.append([str(labels), per_cent(accuracies(scratch)), per_cent(accuracies(trained)), spread(gains)])
        phrases.append(f"{statistics.fmean(gains):.2f} percentage points with {labels} labels")
    head = ["labels of each digit", *FILES, "gain, percentage points"]
    return Report(
        tables={"accuracies": markdown(head, rows)},
        phrases=phrases,
        figures={"finetuning.png": functools.partial(draw, groups)},
    )


def accuracies(result: Mapping[str, Any]) -> list[float]:
    """The test accuracy of each seed."""
    return [run["test/accuracy"] for run in result["runs"]]


def gain(scratch: Mapping[str, Any], trained: Mapping[str, Any]) -> list[float]:
    """Percentage points that pre-training adds, for each seed: both networks of a seed have the same labels."""
    return [100 * (b - a) for a, b in zip(accuracies(scratch), accuracies(trained), strict=True)]


def draw(groups: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Accuracies over the number of labels."""
    title = "Test accuracy (%) on the digits 5 to 9, five seeds"
    draw_sweep(groups, path, over="labels_per_class", title=title)
