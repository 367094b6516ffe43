"""Bar charts: lengths and sides of the bars against the ratios."""

import math

import pytest

from jaxcnn.vis._bench import bench_figure, draw_bench


def result(name: str, **milliseconds: float) -> dict:
    return {
        "name": name,
        "operation": "forward",
        "milliseconds": {peer: {"median": time} for peer, time in milliseconds.items()},
    }


def test_bars_are_the_ratios() -> None:
    figure = bench_figure([result("a", ours=2.0, stock=20.0, torch=1.0), result("b", ours=1.0, stock=0.5)])
    (axes,) = figure.axes
    stock, torch = ([bar.get_width() for bar in bars] for bars in axes.containers)
    assert stock == pytest.approx([1.0, math.log10(0.5)])
    assert torch == pytest.approx([math.log10(0.5)])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a  forward", "b  forward"]
    assert "0.5x" in [label.get_text() for label in axes.get_xticklabels()]


def test_many_results_stand_in_columns_of_one_scale() -> None:
    figure = bench_figure([result(f"layer{number}", ours=1.0, stock=1.0 + number) for number in range(130)])
    names = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes]
    assert [len(column) for column in names] == [44, 44, 42]
    assert [name for column in names for name in column] == [f"layer{number}  forward" for number in range(130)]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert max(bar.get_width() for bar in figure.axes[2].containers[0]) == pytest.approx(math.log10(130))


def test_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="bench_figure: there is no result to draw"):
        bench_figure([])
    with pytest.raises(ValueError, match=r"a picture is written as \.png|\.pdf"):
        draw_bench([result("a", ours=1.0, stock=1.0)], "bars.gif")
