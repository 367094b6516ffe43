"""The table of all functions: each row through each check.

The checks of one row follow each other, so that one test process computes what they share once. By default one row of
each code path goes through all checks but that of single entries, and the others through differentiation alone
(``jit`` where there are no derivatives); in the gate all rows go through all checks.
"""

from typing import Any

import pytest

from tests.functional.cases import collect
from tests.functional.cases.case import Case
from tests.functional.transforms import CHECKS
from tests.functional.transforms.calls import has_derivatives

ROWS = collect()


def checks_of(row: Case) -> list[Any]:
    alone = "derivatives" if has_derivatives(row) else "jit"
    return [
        pytest.param(
            row,
            check,
            id=f"{row.id}-{check}",
            marks=[pytest.mark.gate] if check == "entries" or (row.like and check != alone) else [],
        )
        for check, (_, supports) in CHECKS.items()
        if supports(row)
    ]


@pytest.mark.parametrize(("row", "check"), [test for row in ROWS for test in checks_of(row)])
def test_row(row: Case, check: str) -> None:
    CHECKS[check][0](row)


def test_a_row_that_is_like_another_names_one_with_all_checks() -> None:
    representatives = {row.id for row in ROWS if not row.like}
    assert [row.id for row in ROWS if row.like and row.like not in representatives] == []
