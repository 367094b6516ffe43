"""Helpers for tests of pictures: records of a made-up run, and the pixels of a picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image

SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def run_of(epochs: int, **changes: list[float]) -> list[dict[str, Any]]:
    """Records of a run whose error halves each epoch; ``test_loss=[...]`` replaces the values of test/loss."""
    records: list[dict[str, Any]] = [
        {
            "step": 10 * epoch,
            "epoch": epoch,
            "seconds": 0.5 * epoch,
            "learning_rate": 0.1 / epoch,
            "train/loss": 2.0 / epoch,
            "test/loss": 2.5 / epoch,
            "train/accuracy": 1 - 0.5**epoch,
            "test/accuracy": 1 - 0.6**epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    for name, values in changes.items():
        for record, value in zip(records, values, strict=True):
            record[name if name in record else name.replace("_", "/")] = value
    return records


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def parts(figure: Figure) -> dict[str, Any]:
    """The texts of a figure, and for each panel its labels and the numbers of its artists."""
    return {
        "texts": [text.get_text() for text in figure.texts],
        "legends": [[text.get_text() for text in legend.get_texts()] for legend in figure.legends],
        "panels": [panel_parts(axes) for axes in figure.axes],
    }


def panel_parts(axes: Axes) -> dict[str, Any]:
    """The artists of one panel; empty entries are left out, so that a test lists all artists that exist."""
    legend = axes.get_legend()
    labels = {
        "title": axes.get_title(loc="left"),
        "right title": axes.get_title(loc="right"),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
        "x ticks": [label.get_text() for label in axes.get_xticklabels() if label.get_text()],
        "y ticks": [label.get_text() for label in axes.get_yticklabels() if label.get_text()],
        "texts": [text.get_text() for text in axes.texts],
        "legend": [text.get_text() for text in legend.get_texts()] if legend else [],
        "lines": [len(line.get_xdata()) for line in axes.lines],
        "bands": len([each for each in axes.collections if isinstance(each, FillBetweenPolyCollection)]),
        "bars": len([each for each in axes.containers if isinstance(each, BarContainer)]),
        "error bars": len([each for each in axes.containers if isinstance(each, ErrorbarContainer)]),
        "images": len(axes.images),
        "patches": len(axes.patches),
    }
    return {name: value for name, value in labels.items() if value}
