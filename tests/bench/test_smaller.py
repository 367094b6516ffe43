"""The page about deployment shows the results in the files of docs/bench/smaller.py."""

from pathlib import Path

import pytest

from docs.bench.smaller import IMAGES, PAGE, page, panels, rows_of_pictures, table
from jaxcnn.vis import draw_panels
from tests.ink import assert_drawn_alike


def test_the_page_is_what_was_measured() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run python -m docs.bench.smaller --page"


@pytest.mark.parametrize("name", rows_of_pictures())
def test_the_pictures_are_drawn_from_what_was_measured(name: str, tmp_path: Path) -> None:
    assert f"](../images/{name}.png)" in PAGE.read_text(encoding="utf-8")
    draw_panels(panels(rows_of_pictures()[name]), tmp_path / "drawn.png")
    assert_drawn_alike(tmp_path / "drawn.png", IMAGES / f"{name}.png")


def test_shares_are_of_the_whole_program() -> None:
    rows = [
        {"network": "the run", "accuracy": 0.95},
        {"network": "program of one image", "multiply_adds": 400, "milliseconds": 1.0},
        {"network": "separable", "multiply_adds": 100, "milliseconds": 0.5, "accuracy before": 0.5, "accuracy": 0.9},
        {"network": "Tucker-2", "budget": 0.1, "error": "no rank is small enough"},
    ]
    assert table(rows).splitlines()[2:] == [
        "| the run |  |  | 95.00 % |  |",
        "| program of one image | 1.000 |  |  | 1.00 |",
        "| separable | 0.250 | 50.00 % | 90.00 % | 0.50 |",
        "| Tucker-2 |  |  |  | no rank is small enough |",
    ]
