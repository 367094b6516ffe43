"""The reports of ``docs/reports`` show the numbers of the results files."""

import importlib
from pathlib import Path

import pytest

from docs.reports.report import IMAGES, PAGES, Report, names, read_report, unexplained_numbers, with_tables
from tests.ink import assert_drawn_alike

SECTIONS = ["## Question", "## Method", "## Result", "## What this does not show"]


def text(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def test_every_page_has_a_module() -> None:
    assert names() == sorted(page.stem for page in PAGES.glob("*.md"))


@pytest.mark.parametrize("name", names())
def test_a_page_shows_its_results(name: str) -> None:
    page, report = text(name), read_report(name)
    assert [line for line in page.splitlines() if line in SECTIONS] == SECTIONS
    assert with_tables(page, report.tables) == page, "run python -m docs.reports.report"
    assert [phrase for phrase in report.phrases if phrase not in " ".join(page.split())] == []
    assert unexplained_numbers(page, report) == [], "numbers of results come from the files, as phrases of the report"


@pytest.mark.parametrize("name", names())
def test_the_pictures_of_a_page_are_drawn_from_its_results(name: str, tmp_path: Path) -> None:
    report = read_report(name)
    for file, draw in report.figures.items():
        assert f"(../images/{file})" in text(name)
        draw(tmp_path / file)
        assert_drawn_alike(tmp_path / file, IMAGES / file)
    assert text(name).count("](../images/") == len(report.figures)


def test_a_number_that_no_file_has_is_found() -> None:
    report = Report(tables={"a": "| 1 |"}, phrases=["gains 2 points"])
    result = "<!-- table a -->\n| 1 |\n<!-- end -->\n\nIt gains 2\npoints and loses 3.\n"
    page = f"\n## Method\n\n9 seeds\n\n## Result\n\n{result}"
    assert unexplained_numbers(page, report) == ["3."]


def test_changed_results_change_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("docs.reports.depth")
    runs = module.runs_of("depth_of_plain_and_residual")
    for each in runs.values():
        each[0]["history"]["test/accuracy"] = [value / 2 for value in each[0]["history"]["test/accuracy"]]
    monkeypatch.setattr(module, "runs_of", lambda name: runs)
    assert with_tables(text("depth"), module.report().tables) != text("depth")
    assert [phrase for phrase in module.report().phrases if phrase not in " ".join(text("depth").split())] != []


def test_a_page_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="has no line '<!-- table a -->'"):
        with_tables("# A page", {"a": "| 1 |"})
