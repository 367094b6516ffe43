"""The table of everything: each row through each check.

The checks of one row follow each other, so that one test process computes what they share once.
"""

import pytest

from tests.functional.cases import collect
from tests.functional.cases.case import Case
from tests.functional.transforms import CHECKS

PAIRS = [(row, check) for row in collect() for check, (_, serves) in CHECKS.items() if serves(row)]


@pytest.mark.parametrize(("row", "check"), PAIRS, ids=[f"{row.id}-{check}" for row, check in PAIRS])
def test_row(row: Case, check: str) -> None:
    CHECKS[check][0](row)
