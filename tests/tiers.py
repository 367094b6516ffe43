"""The two tiers of the suite: tests that run by default, and tests that run only in the gate (``tests/README.md``)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pytest


def default_rows(rows: Iterable[Any] | Mapping[str, Any], *, keep: Collection[Any]) -> list[Any]:
    """Rows for ``pytest.mark.parametrize``: those in ``keep`` run by default, the others are marked ``gate``.

    Args:
        rows: the arguments of each test, a tuple where there are several; or a mapping from test ids to arguments.
        keep: the first argument of each row that runs by default; of a mapping, its id.
    """
    named = rows if isinstance(rows, Mapping) else None
    values = list(rows.values() if named is not None else rows)
    names = list(named) if named is not None else [row[0] if isinstance(row, tuple) else row for row in values]
    unknown = [name for name in keep if name not in names]
    if unknown:
        raise ValueError(f"default_rows: keep names {unknown}, which are not among the rows: {names}.")
    return [
        pytest.param(
            *(row if isinstance(row, tuple) else (row,)),
            id=name if named is not None else None,
            marks=() if name in keep else pytest.mark.gate,
        )
        for row, name in zip(values, names, strict=True)
    ]
