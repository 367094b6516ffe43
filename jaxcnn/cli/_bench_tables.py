"""The tables that ``jaxcnn bench`` prints, as rows of strings."""

import math
from collections.abc import Sequence
from typing import Any

from jaxcnn.bench import is_wrong, ratio

Result = dict[str, Any]

COLUMNS = ("layer", "operation", "algorithm", "ours ms", "stock ms", "torch ms", "stock/ours", "ours/torch", "error")


def row(result: Result, *, statistic: str = "median") -> list[str]:
    """One line of the table under ``COLUMNS``."""
    times = result["milliseconds"]

    def cell(name: str, width: int = 8) -> str:
        return number(times[name][statistic]).rjust(width) if name in times else " " * width

    def share(above: str, below: str) -> str:
        return number(ratio(result, above, below, statistic=statistic)).rjust(8)

    error = f"{result['error']:.0e}" + (" WRONG" if is_wrong(result) else "")
    return [
        *(result["name"], result["operation"], result["algorithm"] or "-"),
        *(cell("ours"), cell("stock"), cell("torch")),
        *(share("stock", "ours"), share("ours", "torch"), error),
    ]


def number(value: float | None) -> str:
    """Three digits, never in powers of ten.

    >>> number(0.01234), number(2.0), number(1234.5), number(None)
    ('0.0123', '2', '1234', '')
    """
    if value is None:
        return ""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def summary_rows(found: dict[str, Any]) -> list[list[str]]:
    """Rows under ``SUMMARY_COLUMNS``."""

    def line(name: str, means: dict[str, Any]) -> list[str]:
        slowest = f"{means['slowest']} {number(means['slowest stock/ours'])}"
        return [
            name,
            str(means["entries"]).rjust(7),
            number(means["stock/ours"]).rjust(10),
            number(means["ours/torch"]).rjust(10),
            slowest,
        ]

    rows = [line(name, means) for name, means in found["kinds"].items()]
    return rows + [line(name, means) for name, means in found["classes"].items()]


SUMMARY_COLUMNS = ("geometric means over", "entries", "stock/ours", "ours/torch", "least stock/ours")
STEP_COLUMNS = (
    "training step",
    "stock/ours",
    "stock/accelerated",
    "ours/torch",
    "compile time, ours/stock",
    "compile time, accelerated/stock",
    "memory, ours/stock",
)


def step_rows(found: dict[str, Any]) -> list[list[str]]:
    """Rows under ``STEP_COLUMNS``."""
    return [[name, *(number(each[key]) for key in STEP_COLUMNS[1:])] for name, each in found["steps"].items()]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines)
