"""The tables, numbers and pictures of a report, computed from the files in ``experiments/results``.

A module next to this one has the name of a page and a function ``report``. From the root of a checkout,

    python -m docs.reports.report

writes the tables into the pages, between ``<!-- table NAME -->`` and ``<!-- end -->``, and draws the pictures.
``tests/test_reports.py`` compares pages and pictures with the files of results.
"""

import dataclasses
import importlib
import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PAGES, IMAGES = ROOT / "docs" / "reports", ROOT / "docs" / "images"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The parts of a page that depend on results.

    Attributes:
        tables: Markdown tables by the name between the marks of the page.
        phrases: parts of sentences of the section "Result" that contain a number.
        figures: functions that draw a picture into a file, by the name of the file.
    """

    tables: Mapping[str, str]
    phrases: Sequence[str] = ()
    figures: Mapping[str, Callable[[Path], None]] = dataclasses.field(default_factory=dict)


def names() -> list[str]:
    """The reports: every module next to this one."""
    return sorted(path.stem for path in PAGES.glob("*.py") if path.stem != "report")


def read_report(name: str) -> Report:
    """The report of a page."""
    found: Report = importlib.import_module(f"docs.reports.{name}").report()
    return found


def read_results(name: str) -> dict[str, Any]:
    """A file of results by its path below ``experiments/results``, without ``.json``."""
    found: dict[str, Any] = json.loads((ROOT / "experiments" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def runs_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """The runs of each variant of an experiment."""
    return {variant: found["runs"] for variant, found in read_results(name)["variants"].items()}


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and sample standard deviation; the value alone if there is one."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"


def per_cent(values: Sequence[float], digits: int = 2) -> str:
    """Mean and sample standard deviation of fractions."""
    return f"{spread([100 * value for value in values], digits)} %"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *rows])


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """The text of a page with these tables between their marks.

    Raises:
        ValueError: the page has no mark for a table.
    """
    for name, table in tables.items():
        mark = f"<!-- table {name} -->\n"
        if mark not in page:
            raise ValueError(f"the page has no line {mark.strip()!r} for one of its tables.")
        before, _, after = page.partition(mark)
        page = before + mark + table + "\n" + after[after.index("<!-- end -->") :]
    return page


def unexplained_numbers(page: str, report: Report) -> list[str]:
    """Numbers of the section "Result" that are in no table and no phrase of the report."""
    section = page.partition("\n## Result")[2].partition("\n## ")[0]
    text = re.sub(r"<!-- table .*?<!-- end -->|\]\([^)]*\)|`[^`]*`", " ", section, flags=re.DOTALL)
    text = " ".join(text.split())
    for phrase in report.phrases:
        text = text.replace(phrase, " ")
    return re.findall(r"\d[\d.,]*", text)


def main() -> None:
    """Writes the tables of all pages, and draws their pictures."""
    for name in names():
        report, path = read_report(name), PAGES / f"{name}.md"
        path.write_text(with_tables(path.read_text(encoding="utf-8"), report.tables), encoding="utf-8")
        for file, draw in report.figures.items():
            draw(IMAGES / file)


if __name__ == "__main__":
    main()
