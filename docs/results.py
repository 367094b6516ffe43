"""The tables of results on the pages: ``python -m docs.results`` writes each between its marks.

A page shows the rows of ``jaxcnn results`` for some experiments between ``<!-- results NAME NAME -->`` and
``<!-- end -->``, or all rows if no name is given. ``<!-- measured NAME VALUE ROWS -->`` is followed by a measured value
of each variant in per cent, an array with an entry for each of ``ROWS``, a constant of the experiment's file.
``<!-- grid NAME R,S C,D -->`` is followed by the measured numbers ``R_C`` to ``S_D`` of an experiment without variants.
``tests/cli/test_readme.py`` compares the pages with the files in ``experiments/results``.
"""

import re
from pathlib import Path
from typing import Any

from jaxcnn.cli._results import markdown_table, read_results
from jaxcnn.train import find_experiment

DOCS = Path(__file__).parent
MARKS = re.compile(r"(<!-- results((?: \w+)*) -->\n).*?(<!-- end -->)", re.DOTALL)
GRID = re.compile(r"(<!-- grid (\w+) ([\w,]+) ([\w,]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MEASURED = re.compile(r"(<!-- measured (\w+) (\w+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """The pages that have a table of results."""
    return [path for path in sorted(DOCS.rglob("*.md")) if MARKS.search(path.read_text(encoding="utf-8"))]


def with_results(page: str, results: list[dict[str, Any]]) -> str:
    """The text of a page with the rows and the measured values of its experiments between the marks.

    Raises:
        ValueError: an experiment without results.
    """

    def table(found: re.Match[str]) -> str:
        names = found[2].split()
        missing = set(names) - {result["experiment"] for result in results}
        if missing:
            raise ValueError(f"there are no results of {', '.join(sorted(missing))}.")
        chosen = [result for result in results if not names or result["experiment"] in names]
        return f"{found[1]}{markdown_table(chosen)}\n{found[3]}"

    def measured(found: re.Match[str]) -> str:
        chosen = [result for result in results if result["experiment"] == found[2]]
        return f"{found[1]}{_measured_table(chosen, found[2], value=found[3], rows=found[4])}\n{found[5]}"

    def grid(found: re.Match[str]) -> str:
        (values,) = (result["measured"] for result in results if result["experiment"] == found[2])
        rows, columns = (each.split(",") for each in (found[3], found[4]))
        lines = [[row, *(f"{values[f'{row}_{column}']['mean']:.3f}" for column in columns)] for row in rows]
        return f"{found[1]}{_table(['', *columns], lines)}\n{found[5]}"

    return GRID.sub(grid, MEASURED.sub(measured, MARKS.sub(table, page)))


def _measured_table(results: list[dict[str, Any]], experiment: str, *, value: str, rows: str) -> str:
    """A row for each name, a column for each variant that has the value, and the mean of each column."""
    names = find_experiment(experiment).build_function.__globals__[rows]
    columns = {
        name: variant["measured"][value]["mean"]
        for result in results
        for name, variant in result["variants"].items()
        if value in variant.get("measured", {})
    }
    if not columns:
        raise ValueError(f"no variant of {experiment} has measured {value}.")
    lines = [[name, *(f"{100 * values[index]:.1f}" for values in columns.values())] for index, name in enumerate(names)]
    mean = ["mean", *(f"{100 * sum(values) / len(values):.1f}" for values in columns.values())]
    return _table(["", *columns], [*lines, mean])


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def main() -> None:
    """Writes the tables of all pages."""
    results = read_results()
    for path in pages():
        path.write_text(with_results(path.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
