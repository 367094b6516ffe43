"""The two tiers of the suite: what runs by default, and what runs only in the gate (``tests/README.md``)."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def default_rows(rows: Iterable[Any], *, keep: Collection[Any]) -> list[Any]:
    """Rows for ``pytest.mark.parametrize``: those in ``keep`` run by default, the others are marked ``gate``.

    A row of several arguments is a tuple, and ``keep`` names its first element.
    """
    rows = list(rows)
    names = [row[0] if isinstance(row, tuple) else row for row in rows]
    unknown = [name for name in keep if name not in names]
    if unknown:
        raise ValueError(f"default_rows: keep names {unknown}, which are not among the rows: {names}.")
    return [
        row if name in keep else pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.gate)
        for row, name in zip(rows, names, strict=True)
    ]
