"""The tables of results on the pages: ``python -m docs.results`` writes each between its marks.

A page shows the rows of ``jaxcnn results`` for some experiments between ``<!-- results NAME NAME -->`` and
``<!-- end -->``, or all rows if no name is given. ``tests/cli/test_readme.py`` compares the pages with the files in
``experiments/results``.
"""

import re
from pathlib import Path
from typing import Any

from jaxcnn.cli._results import markdown_table, read_results

DOCS = Path(__file__).parent
MARKS = re.compile(r"(<!-- results((?: \w+)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """The pages that have a table of results."""
    return [path for path in sorted(DOCS.rglob("*.md")) if MARKS.search(path.read_text(encoding="utf-8"))]


def with_results(page: str, results: list[dict[str, Any]]) -> str:
    """The text of a page with the rows of its experiments between the marks.

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

    return MARKS.sub(table, page)


def main() -> None:
    """Writes the tables of all pages."""
    results = read_results()
    for path in pages():
        path.write_text(with_results(path.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
