"""Several runs in one picture: the curves of each split, and the errors."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxcnn.vis import comparison_figure, draw_comparison
from tests.vis.pictures import SIGNATURES


def run(epochs: int, **last: Any) -> list[dict[str, Any]]:
    records = [
        {"step": 9 * epoch, "epoch": epoch, "train/loss": 4.0 / epoch, "train/skipped": 0, "val/loss": 2.0 / epoch}
        for epoch in range(1, epochs + 1)
    ]
    records[-1] |= last
    return records


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_each_run_is_a_line_over_its_own_epochs() -> None:
    figure = comparison_figure({"long": run(5), "short": run(3)})
    (axes,) = figure.axes
    assert titles(figure) == ["val loss"] and axes.get_xlabel() == "epoch"
    for line, epochs in zip(axes.lines, (5, 3), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, epochs + 1))
        np.testing.assert_allclose(line.get_ydata(), 2 / np.arange(1, epochs + 1))
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["long", "short"]


def test_a_measure_is_of_a_split_that_all_runs_have() -> None:
    without = [{name: value for name, value in record.items() if name != "val/loss"} for record in run(3)]
    assert titles(comparison_figure({"a": run(3), "b": without})) == ["train loss"]
    ends = {"test/loss": 1.0, "test/mean_iou": 0.5}
    assert titles(comparison_figure({"a": run(3, **ends), "b": run(3, **ends)})) == ["val loss", "test mean iou"]
    assert titles(comparison_figure({"a": run(1, **ends), "b": run(1)})) == ["val loss"]


def test_values_that_are_not_finite_are_gaps() -> None:
    axes = comparison_figure({"a": run(3), "b": run(3, **{"val/loss": math.inf})}).axes[0]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [2.0, 1.0, math.nan])
    nowhere = comparison_figure({"a": run(1, **{"val/loss": math.nan, "train/loss": math.nan})}).axes[0]
    assert [text.get_text() for text in nowhere.texts] == ["no finite value"]


def test_many_runs_differ_in_colour_or_style() -> None:
    figure = comparison_figure({f"run {index}: {'x' * 200}": run(2) for index in range(20)})
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 20
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.axes[0].get_tightbbox().y0


@pytest.mark.parametrize(
    ("runs", "text"), [({}, "there is no run to draw"), ({"a": [], "b": []}, "the runs a, b have no")]
)
def test_what_is_refused(runs: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        comparison_figure(runs)


def test_it_is_written(tmp_path: Path) -> None:
    draw_comparison({"a": run(3)}, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(SIGNATURES["png"])
