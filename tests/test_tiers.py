"""The helper that puts rows into tiers, and the effect of the marks in pytest."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxcnn.functional import conv
from tests.test_doors import EXPORTS
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
    """The output of pytest when it collects a file with the settings of this project."""
    file = folder / "test_two.py"
    file.write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder, "--collect-only"]
    done = subprocess.run([*command, "-n", "0", *selection, file], capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize(
    ("selection", "run"),
    [
        ([], ["test_usual"]),
        pytest.param(["-m", "gate or not gate"], ["test_costly", "test_usual"], marks=pytest.mark.gate),
    ],
)
def test_pytest_runs_the_gate_only_when_asked(tmp_path: Path, selection: list[str], run: list[str]) -> None:
    assert re.findall(r"::(\w+)", collected(tmp_path, FILE, *selection)) == run


@pytest.mark.gate
def test_a_misspelt_mark_is_refused(tmp_path: Path) -> None:
    assert "'gat' not found in `markers`" in collected(tmp_path, FILE.replace("gate", "gat"))


# --------------------------------------------------------------------------------- coverage of the default tier


def default_names(source: str) -> set[str]:
    """The identifiers and the whole strings in a test file, without tests that are marked ``gate`` as a whole."""
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.FunctionDef)
            and any(ast.unparse(decorator) == "pytest.mark.gate" for decorator in node.decorator_list)
        )
    ]
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                names.add(name)
    return names


def called_in_doctest(function: Callable[..., Any]) -> bool:
    """Whether the example of a function, which the default tier runs, calls the function."""
    lines = [line for line in (inspect.getdoc(function) or "").splitlines() if line.lstrip()[:3] in (">>>", "...")]
    return re.search(rf"\b{function.__name__}\(", "\n".join(lines)) is not None


@functools.cache
def names_in(folder: str) -> set[str]:
    return set().union(*(default_names(path.read_text(encoding="utf-8")) for path in (ROOT / folder).rglob("*.py")))


def test_every_public_function_is_used_by_default() -> None:
    # Functions of the command line are tested as commands, in the next test.
    packages = [package for package in EXPORTS if "._" not in package and package != "jaxcnn.cli"]
    functions = {
        name: member
        for package in packages
        for name in EXPORTS[package] or ()
        if inspect.isfunction(member := getattr(importlib.import_module(package), name))
    }
    names = names_in("tests") | names_in("jaxcnn/cli")  # the functions that a command calls
    unused = [name for name, function in functions.items() if name not in names and not called_in_doctest(function)]
    assert len(functions) > 100 and unused == []


def test_every_verb_is_used_by_default() -> None:
    """Its name is in a list of arguments of the command line."""
    files = [path for path in (ROOT / "jaxcnn" / "cli").glob("_*.py") if path.stem != "__init__"]
    verbs = {path.stem[1:] for path in files if re.search(r"^HELP = ", path.read_text(encoding="utf-8"), re.M)}
    assert {"train", "evaluate", "show"} <= verbs and verbs - names_in("tests") == set()


def test_what_only_the_gate_uses_is_found() -> None:
    source = "@pytest.mark.gate\ndef test_a():\n    only_here()\ndef test_b():\n    main(['usual'])\n"
    assert "usual" in default_names(source) and "only_here" not in default_names(source)
    assert called_in_doctest(conv) and not called_in_doctest(default_names)
