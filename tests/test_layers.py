"""Imports go strictly from upper to lower packages, and folders on one level never import each other."""

import ast
import sys
from collections.abc import Set
from pathlib import Path

from tests.sources import imports_of

ROOT = Path(__file__).parent.parent
ROWS = [
    {"_geometry"},
    {"shapes"},
    {"functional"},
    {"nn", "augment", "metrics"},
    {"models", "data"},
    {"attribution", "bench", "train", "vis", "export", "unsupervised"},
    {"live"},
    {"cli"},
    {"experiments"},
]
RANK = {folder: rank for rank, row in enumerate(ROWS) for folder in row}
FILES = sorted([*(ROOT / "jaxcnn").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])


def folder_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] == "experiments" else parts[1]


def imported_modules(source: str) -> list[str]:
    """Every module that a source imports, anywhere in the file; ``from jaxcnn import nn`` counts as ``jaxcnn.nn``."""
    names = []
    for node in imports_of(source):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        else:
            assert node.level == 0, "relative imports hide which layer is meant"
            assert node.module is not None
            names += (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "jaxcnn" else [node.module]
            )
    return names


def upward(folder: str, source: str) -> list[str]:
    """The imports of a file in ``folder`` that do not go to a lower package."""
    bad = []
    for name in imported_modules(source):
        parts = name.split(".")
        if parts[0] == "experiments" and folder != "experiments":
            bad.append(name)
        if parts[0] == "jaxcnn" and len(parts) > 1 and parts[1] in RANK:
            same = parts[1] == folder
            if not same and RANK[parts[1]] >= RANK[folder]:
                bad.append(name)
        if parts[0] == "jaxcnn" and len(parts) == 1:
            bad.append("jaxcnn (the face; import from the module that defines the name)")
        if folder in ("_geometry", "shapes") and (
            name in WITH_JAX or parts[0] not in {"jaxcnn", *sys.stdlib_module_names}
        ):
            bad.append(name)
    return bad


def test_imports_go_down() -> None:
    inner = [path for path in FILES if path.parent != ROOT / "jaxcnn"]
    found = {str(path): upward(folder_of(path), path.read_text(encoding="utf-8")) for path in inner}
    assert {path: names for path, names in found.items() if names} == {}


# Private files next to the packages that jaxcnn.shapes may not import.
WITH_JAX = {"jaxcnn._arrays", "jaxcnn._check_gradients", "jaxcnn._programs", "jaxcnn._winograd"}


def above_the_ground(source: str, libraries: Set[str] = frozenset()) -> list[str]:
    """The imports of a private top-level file that are neither another such file nor the standard library."""
    allowed = {f"jaxcnn.{path.stem}" for path in (ROOT / "jaxcnn").glob("_[a-z]*.py")}
    names = imported_modules(source)
    packages = {*libraries, *sys.stdlib_module_names}
    return [name for name in names if name not in allowed and name.split(".")[0] not in packages]


def test_private_files_next_to_the_packages_import_no_package() -> None:
    """Every package may import them, so they are below all packages."""
    found = {
        path.name: above_the_ground(
            path.read_text(encoding="utf-8"), {"jax", "numpy"} if f"jaxcnn.{path.stem}" in WITH_JAX else set()
        )
        for path in (ROOT / "jaxcnn").glob("_[a-z]*.py")
    }
    assert "_hints.py" in found
    assert {name: names for name, names in found.items() if names} == {}


def test_the_check_can_fail() -> None:
    assert above_the_ground("from jaxcnn.shapes import conv_counts") == ["jaxcnn.shapes"]
    assert above_the_ground("import jax\nimport re\nfrom jaxcnn._reprs import short_repr") == ["jax"]
    assert upward("functional", "from jaxcnn.nn._conv import Conv") == ["jaxcnn.nn._conv"]
    assert upward("train", "import jaxcnn.vis._curves") == ["jaxcnn.vis._curves"]
    assert upward("nn", "from jaxcnn import models") == ["jaxcnn.models"]
    assert upward("shapes", "import jax") == ["jax"]
    assert upward("shapes", "from jaxcnn._arrays import as_array") == ["jaxcnn._arrays"]
    assert upward("train", "from jaxcnn.functional import conv") == []


def test_no_file_passes_400_lines() -> None:
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > 400} == {}, "split them in two"
