"""The table of public functions: the rows of every module in this folder, in one list."""

import importlib
import pkgutil

from tests.functional.cases.case import Case


def collect() -> list[Case]:
    """The rows, sorted by name, so that parallel test processes have the same order."""
    rows: list[Case] = []
    for module in pkgutil.iter_modules(__path__):
        rows += getattr(importlib.import_module(f"{__name__}.{module.name}"), "CASES", [])
    rows.sort(key=lambda row: row.id)
    ids = [row.id for row in rows]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    assert not twice, f"rows need notes that tell them apart: {twice}"
    return rows
