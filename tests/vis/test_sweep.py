"""Lines over the values of a setting: their positions and order, with every seed."""

from typing import Any

import numpy as np
import pytest

from jaxcnn.vis._sweep import sweep_figure


def result(labels: int, *accuracies: float) -> dict[str, Any]:
    return {
        "settings": {"labels": labels},
        "test/accuracy": {"mean": np.mean(accuracies), "std": np.std(accuracies, ddof=1)},
        "runs": [{"test/accuracy": accuracy} for accuracy in accuracies],
    }


def at(bars: Any) -> np.ndarray:
    """The positions of the line of means, ``(2, points)``; matplotlib stores them as objects."""
    return np.array(bars.lines[0].get_data(), float)


def test_means_spreads_and_seeds_are_where_they_belong() -> None:
    ways = {"scratch": [result(50, 0.9, 0.92), result(5, 0.5, 0.7)], "trained": [result(5, 0.8, 0.9)]}
    (axes,) = sweep_figure(ways, over="labels").axes
    scratch, trained = axes.containers
    np.testing.assert_allclose(at(scratch)[1], [60, 91])
    np.testing.assert_allclose(at(trained)[1], [85])
    np.testing.assert_allclose(at(scratch)[0], [5, 50], rtol=0.03)
    assert at(scratch)[0, 0] < 5 < at(trained)[0, 0], "bars do not lie on each other"
    spread = scratch.lines[2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose(spread[1] - spread[0], 2 * 100 * 0.2 / np.sqrt(2))
    dots = [np.asarray(line.get_ydata(), float) for line in axes.lines if line.get_marker() == "."]
    np.testing.assert_allclose(np.sort(np.concatenate(dots)), [50, 70, 80, 90, 90, 92])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5", "50"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["scratch", "trained"]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="sweep_figure: each group must have at least one result"):
        sweep_figure({}, over="labels")
    with pytest.raises(ValueError, match="each group must have at least one result"):
        sweep_figure({"scratch": []}, over="labels")
    with pytest.raises(ValueError, match="at most 4 groups can be drawn, not 5"):
        sweep_figure({str(index): [result(5, 0.5, 0.7)] for index in range(5)}, over="labels")
    with pytest.raises(ValueError, match="a result has label=None, which must be a positive number"):
        sweep_figure({"scratch": [result(5, 0.5, 0.7)]}, over="label")
    with pytest.raises(ValueError, match="a result has labels=0, which must be a positive number"):
        sweep_figure({"scratch": [result(0, 0.5, 0.7)]}, over="labels")
