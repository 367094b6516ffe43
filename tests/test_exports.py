"""The exports of packages: sorted lists of existing names; public definitions are exported or used elsewhere."""

import ast
import functools
import importlib
from pathlib import Path

from tests.sources import imports_of
from tests.test_api_rules import FACES, ROOT


def in_order(names: list[str]) -> list[str]:
    """Constants, then classes, then other names, each in alphabetical order, as ruff sorts them."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))


def test_the_order_is_that_of_ruff() -> None:
    assert in_order(["b", "a", "Name", "ALL"]) == ["ALL", "Name", "a", "b"]


def test_all_is_sorted_and_true() -> None:
    for face in FACES:
        module = importlib.import_module(face)
        assert list(module.__all__) == in_order(list(module.__all__)), face
        assert [name for name in module.__all__ if not hasattr(module, name)] == [], face


@functools.cache
def imported_names() -> frozenset[str]:
    """Every name that a module of the library imports from another module."""
    names: set[str] = set()
    for path in (ROOT / "jaxcnn").rglob("*.py"):
        if path.name == "__init__.py":
            continue
        for node in imports_of(path.read_text(encoding="utf-8")):
            if isinstance(node, ast.ImportFrom):
                names |= {alias.name for alias in node.names}
    return frozenset(names)


def public_definitions(path: Path) -> list[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]


FILES = [
    path
    for face in ("functional", "nn", "augment", "metrics")
    for path in sorted((ROOT / "jaxcnn" / face).rglob("*.py"))
    if not any(part.startswith("_") for part in path.relative_to(ROOT).parts[:-1])
]


def stray(path: Path) -> list[str]:
    """Names without an underscore that are neither exported nor imported by another module of the library."""
    face = ".".join(path.relative_to(ROOT).parts[:2])
    exported = {name for module in FACES if module.startswith(face) for name in importlib.import_module(module).__all__}
    return [name for name in public_definitions(path) if name not in exported and name not in imported_names()]


def test_public_definitions_are_exported_or_shared() -> None:
    found = {str(path): stray(path) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}, "export them, or give them an underscore"
