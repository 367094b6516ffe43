"""The helper that puts rows into tiers, and what pytest makes of the marks."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiers import default_rows


@pytest.mark.parametrize(
    ("rows", "keep"),
    [(["a", "b"], ["a"]), ([("a", 1), ("b", 2)], {"a"}), ({"a": 1, "b": (2, 3)}, ("a",))],
    ids=["single", "tuples", "a mapping"],
)
def test_rows_outside_keep_are_marked_for_the_gate(rows: Any, keep: Any) -> None:
    kept, moved = default_rows(rows, keep=keep)
    assert not kept.marks and [mark.name for mark in moved.marks] == ["gate"]
    arguments = [each if isinstance(each, tuple) else (each,) for each in (rows.values() if kept.id else rows)]
    assert [kept.values, moved.values] == arguments and kept.id == ("a" if isinstance(rows, dict) else None)


def test_a_row_to_keep_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keep names \['c'\], which are not among the rows: \['a', 'b'\]"):
        default_rows(["a", "b"], keep=["c"])


ROOT = Path(__file__).parent.parent
FILE = """
import pytest

@pytest.mark.gate
def test_costly(): pass

def test_usual(): pass
"""


def collected(folder: Path, content: str, *selection: str) -> str:
    """What pytest prints when it collects a file with the settings of this project."""
    file = folder / "test_two.py"
    file.write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder, "--collect-only"]
    done = subprocess.run([*command, "-n", "0", *selection, file], capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize(
    ("selection", "run"),
    [
        ([], ["test_usual"]),
        (["-m", "gate or not gate"], ["test_costly", "test_usual"]),
    ],
)
def test_pytest_runs_the_gate_only_when_asked(tmp_path: Path, selection: list[str], run: list[str]) -> None:
    assert re.findall(r"::(\w+)", collected(tmp_path, FILE, *selection)) == run


def test_a_misspelt_mark_is_refused(tmp_path: Path) -> None:
    assert "'gat' not found in `markers`" in collected(tmp_path, FILE.replace("gate", "gat"))
