"""Plots side by side: positions of means and bands, and errors for invalid values."""

import numpy as np
import pytest

from jaxcnn.vis._panels import Panel, panels_figure


def panel(**changes: object) -> Panel:
    usual = {"title": "Accuracy", "over": "depth", "places": [1, 3, 5], "lines": {"plain": [[1, 2, 3], [3, 6, 3]]}}
    return Panel(**usual | changes)  # type: ignore[arg-type]


def test_lines_are_means_and_bands_reach_from_the_least_to_the_greatest() -> None:
    lines = {"plain": [[1.0, 2.0, 3.0], [3.0, 6.0, 3.0]], "other": [[0.0, 0.5, 9.0]]}
    figure = panels_figure([panel(lines=lines, limits=(-1, 10)), panel(title="Second")])
    first, second = figure.axes
    plain, other = first.lines
    np.testing.assert_allclose(np.asarray(plain.get_data(), float), [[1, 3, 5], [2, 4, 3]])
    np.testing.assert_allclose(np.asarray(other.get_ydata(), float), [0, 0.5, 9])
    (band,) = first.collections
    corners = band.get_paths()[0].vertices
    assert {(1.0, 1.0), (1.0, 3.0), (3.0, 2.0), (3.0, 6.0)} <= {(float(x), float(y)) for x, y in corners}
    assert first.get_ylim() == (-1, 10) and first.get_xlabel() == "depth"
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["plain", "other"]
    assert second.get_title(loc="left") == "Second" and second.get_legend() is None, "one line needs no legend"
    assert first.get_position().x1 < second.get_position().x0, "plots do not lie on each other"


def test_runs_may_be_an_array() -> None:
    values = np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 3.0]])
    (axes,) = panels_figure([panel(places=np.array([1, 3, 5]), lines={"plain": values})]).axes
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata(), float), [2, 4, 3])


def test_few_places_have_dots_and_many_have_none() -> None:
    few = panels_figure([panel()]).axes[0]
    assert few.lines[0].get_marker() == "o" and [label.get_text() for label in few.get_xticklabels()] == ["1", "3", "5"]
    many = panels_figure([panel(places=range(50), lines={"plain": [range(50)]})]).axes[0]
    assert many.lines[0].get_marker() == "None"


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="panels_figure: there is no plot to draw"):
        panels_figure([])
    with pytest.raises(ValueError, match="'Accuracy' has 0 lines; a plot has from 1 to 4"):
        panels_figure([panel(lines={})])
    with pytest.raises(ValueError, match="has 5 lines; a plot has from 1 to 4"):
        panels_figure([panel(lines={str(index): [[1, 2, 3]] for index in range(5)})])
    with pytest.raises(ValueError, match=r"each run of 'plain' must have a value for each of the 3 places.*\[3, 2\]"):
        panels_figure([panel(lines={"plain": [[1, 2, 3], [1, 2]]})])
    with pytest.raises(ValueError, match=r"each run of 'plain' must have a value .* \[\]"):
        panels_figure([panel(lines={"plain": []})])
