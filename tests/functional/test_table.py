"""The table has a row for every public function, and each row calls the function that it names."""

import inspect
import sys
from types import FrameType
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import functional
from tests.functional.cases import collect
from tests.functional.cases.case import Case
from tests.tiers import default_rows

ROWS = collect()
NO_ARRAYS = {
    "accelerate": "switches how others compute",
    "conv_algorithms": "returns names",
    "explain_conv": "explains shapes",
    "tuning.conv_operation": "describes shapes",
    "tuning.conv_operations": "describes a program",
    "tuning.read_table": "reads a file",
    "tuning.this_machine": "describes the machine",
    "tuning.use_tuning": "switches how others compute",
    "use_tuning": "switches how others compute",
}


def public_functions(module: Any, prefix: str = "") -> list[str]:
    """Functions in ``__all__``; the name of a submodule precedes those of its functions.

    Classes and constants are left out.
    """
    names = []
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.ismodule(member):
            names += public_functions(member, f"{name}.")
        elif callable(member) and not inspect.isclass(member):
            names.append(prefix + name)
    return names


FUNCTIONS = public_functions(functional)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_a_row(name: str) -> None:
    rows = [row for row in ROWS if row.function == name]
    assert rows or name in NO_ARRAYS, f"{name} requires a row in tests/functional/cases/"


def test_every_row_names_a_public_function() -> None:
    assert {row.function for row in ROWS} <= set(FUNCTIONS)
    assert set(NO_ARRAYS) <= set(FUNCTIONS)


def called(row: Case) -> set[str]:
    """The functions of ``jaxcnn.functional`` that are called while the row is traced."""
    seen = set()

    def watch(frame: FrameType, event: str, argument: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("jaxcnn.functional"):
            seen.add(frame.f_code.co_name)

    arrays = row.draw(dtype=np.float32)
    sys.setprofile(watch)
    try:
        jax.eval_shape(lambda *operands: row.call(*operands), *arrays)  # a new function, so that it is traced
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize(
    "row", default_rows({row.id: row for row in ROWS}, keep=[row.id for row in ROWS if not row.like])
)
def test_a_row_calls_its_function(row: Case) -> None:
    assert row.function.split(".")[-1] in called(row)


@pytest.mark.parametrize("name", sorted({row.function for row in ROWS if row.couples_batch}))
def test_what_couples_the_batch_has_a_row_for_devices(name: str) -> None:
    assert any(row.scoped for row in ROWS if row.function == name), f"{name} requires a row with scoped="


def test_the_checks_of_the_table_can_fail() -> None:
    row = Case(function="conv", call=lambda x: x, shapes=((8, 2),), batched=(True,))
    assert "conv" not in called(row)
    twin = type(sys)("twin")
    twin.__all__ = ["missing"]
    twin.missing = lambda x: x
    assert public_functions(twin) == ["missing"]
