"""Every row of the table of public functions in every check.

The checks of one row are consecutive, so that one test process computes their common results once. By default, one row
of each kind goes through all checks but those of single entries. One row of each other code path and function goes
through the check of first derivatives, or of ``jit`` where there are no derivatives. In the gate all rows go through
all checks.
"""

from typing import Any

import pytest

from tests.functional.cases import collect
from tests.functional.cases.case import Case
from tests.functional.transforms import CHECKS, EVERY_CHECK
from tests.functional.transforms.calls import has_derivatives

ROWS = collect()
# For each function, a row that is checked by default: one with a code path of its own, otherwise the first row.
FIRST = {row.function: row.id for row in reversed(ROWS) if row.like}
FIRST |= {row.function: row.id for row in ROWS if not row.like}


def is_default(row: Case, check: str) -> bool:
    if row.id in EVERY_CHECK:
        return check not in ("entries", "slopes")
    is_checked = not row.like or FIRST[row.function] == row.id
    return is_checked and check == ("slopes" if has_derivatives(row) else "jit")


def checks_of(row: Case) -> list[Any]:
    return [
        pytest.param(
            row,
            check,
            id=f"{row.id}-{check}",
            marks=() if is_default(row, check) else pytest.mark.gate,
        )
        for check, (_, supports) in CHECKS.items()
        # the check of all derivatives includes the first ones
        if supports(row) and (check != "slopes" or is_default(row, check))
    ]


@pytest.mark.parametrize(("row", "check"), [test for row in ROWS for test in checks_of(row)])
def test_row(row: Case, check: str) -> None:
    CHECKS[check][0](row)


def test_a_row_that_is_like_another_names_one_with_all_checks() -> None:
    representatives = {row.id for row in ROWS if not row.like}
    assert [row.id for row in ROWS if row.like and row.like not in representatives] == []
    assert representatives >= EVERY_CHECK
    assert FIRST.keys() == {row.function for row in ROWS}
