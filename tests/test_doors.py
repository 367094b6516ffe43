"""Public and private names: the exports of each package, and which files may import them.

A name is public if and only if it is in the ``__all__`` of a package without a leading underscore. Every module that is
not a package starts with an underscore, and only the package that contains it imports it.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import imports_of
from tests.test_layers import imported_modules

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "jaxcnn").rglob("*.py"))
PACKAGES = [path.parent for path in LIBRARY if path.name == "__init__.py"]
OUTSIDE = [path for folder in ("docs", "experiments", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
# The pages of benchmarks and their tests show the tables that commands print, and compute figures as commands do.
TABLES_OF_THE_COMMAND = (
    ("docs.bench", "jaxcnn.cli"),
    ("docs.results", "jaxcnn.cli"),
    ("tests.bench", "jaxcnn.cli"),
    ("docs.bench", "jaxcnn.train"),
    ("docs.bench", "jaxcnn.train._compile"),
)


def dotted(path: Path) -> str:
    """The dotted name of a module's file, or of the package of a folder or of its ``__init__.py``."""
    relative = path.relative_to(ROOT).with_suffix("")
    return ".".join(relative.parts[:-1] if relative.name == "__init__" else relative.parts)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def exports(package: Path) -> list[str] | None:
    """The literal ``__all__`` of a package; None without one."""
    for node in ast.parse((package / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(entry.value) for entry in getattr(node.value, "elts", []) if isinstance(entry, ast.Constant)]
    return None


EXPORTS = {dotted(package): exports(package) for package in PACKAGES}
MODULES = {dotted(path) for path in LIBRARY}


def test_every_module_is_private_and_every_package_has_a_door() -> None:
    modules = [dotted(path) for path in LIBRARY if path.name not in ("__init__.py", "__main__.py")]
    public = [name for name in modules if not is_private(name.split(".")[-1])]
    assert public == [], "start the name with an underscore, and export names from the package"
    assert [name for name, names in EXPORTS.items() if names is None] == []


def inside(importer: str, package: str) -> bool:
    """Whether a module may import the private parts of a package: it belongs to the package, its tests or its tools."""
    if importer == package or importer.startswith(f"{package}."):
        return True
    parts, owner = importer.split("."), package.split(".")
    if (".".join(parts[:2]), package) in TABLES_OF_THE_COMMAND:
        return True
    return parts[0] in ("docs", "tests") and (len(owner) == 1 or parts[1] == owner[1].lstrip("_"))


def trespasses(importer: str, names: list[str]) -> list[str]:
    """The imports of private modules from outside of the package that contains them."""
    found = []
    for name in names:
        parts = name.split(".")
        holders = [".".join(parts[:index]) for index, part in enumerate(parts) if is_private(part)]
        if parts[0] == "jaxcnn" and not all(inside(importer, holder) for holder in holders):
            found.append(name)
    return found


def imports(path: Path) -> list[str]:
    """The modules that a file imports, including those of ``from package import _module``."""
    source = path.read_text(encoding="utf-8")
    return imported_modules(source) + [f"{package}.{name}" for package, name in from_doors(source) if is_private(name)]


def test_private_modules_are_imported_from_inside_their_package() -> None:
    found = {}
    for path in [*LIBRARY, *OUTSIDE]:
        found[dotted(path)] = trespasses(dotted(path), imports(path))
    assert {module: names for module, names in found.items() if names} == {}, "import from the package instead"


def from_doors(source: str) -> Iterator[tuple[str, str]]:
    """Each name that a source imports from a package, with the package."""
    for node in imports_of(source):
        if isinstance(node, ast.ImportFrom) and node.module in EXPORTS:
            yield from ((str(node.module), alias.name) for alias in node.names)


def unlisted(source: str) -> list[str]:
    """Names that a source imports from a package that does not export them."""
    return [
        f"{package}.{name}"
        for package, name in from_doors(source)
        if package != "jaxcnn" and name not in (EXPORTS[package] or []) and f"{package}.{name}" not in MODULES
    ]


def test_names_imported_from_a_package_are_in_its_all() -> None:
    found = {}
    for path in [*LIBRARY, *OUTSIDE]:
        found[dotted(path)] = unlisted(path.read_text(encoding="utf-8"))
    assert {module: names for module, names in found.items() if names} == {}


def test_no_module_has_the_name_of_an_export() -> None:
    """``import jaxcnn.functional.conv as m`` would import the function."""
    found = {}
    for package in PACKAGES:
        children = {path.stem for path in package.glob("*.py")}
        found[dotted(package)] = sorted(children & set(EXPORTS[dotted(package)] or []))
    assert {name: names for name, names in found.items() if names} == {}


def neighbours(package: str, modules: dict[str, list[str]]) -> dict[str, set[str]]:
    """For each module and sub-package directly in a package, the others that it imports."""
    graph: dict[str, set[str]] = {}
    start = f"{package}."
    for module, names in modules.items():
        if module.startswith(start):
            child = module[len(start) :].split(".")[0]
            others = {name[len(start) :].split(".")[0] for name in names if name.startswith(start)}
            graph.setdefault(child, set()).update(others - {child})
    children = set(graph)
    return {child: others & children for child, others in graph.items()}


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a cycle; empty if there is an order of imports without a cycle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_the_parts_of_each_package_have_an_order() -> None:
    """Sub-packages and modules import strictly downwards within their package too."""
    modules = {dotted(path): imports(path) for path in LIBRARY}
    found = {dotted(package): cycle(neighbours(dotted(package), modules)) for package in PACKAGES}
    assert {name: parts for name, parts in found.items() if parts} == {}


@pytest.mark.parametrize(
    ("importer", "name", "allowed"),
    [
        ("jaxcnn.train._loop", "jaxcnn.data._stream", False),
        ("jaxcnn.train._loop", "jaxcnn.data", True),
        ("jaxcnn.data._load", "jaxcnn.data._stream", True),
        ("jaxcnn.models._resnet", "jaxcnn.models._weights._torch", False),
        ("jaxcnn.models._weights._flax", "jaxcnn.models._weights._torch", True),
        ("jaxcnn.models._resnet", "jaxcnn.models._weights", True),
        ("jaxcnn.nn._conv", "jaxcnn._geometry._conv", False),
        ("jaxcnn.nn._conv", "jaxcnn._geometry", True),
        ("experiments.lenet5_digits", "jaxcnn._geometry", False),
        ("tests.data.test_stream", "jaxcnn.data._stream", True),
        ("tests.train.test_loop", "jaxcnn.data._stream", False),
    ],
)
def test_the_rule_of_imports(importer: str, name: str, allowed: bool) -> None:
    assert trespasses(importer, [name]) == ([] if allowed else [name])


def test_the_other_rules_can_fail() -> None:
    assert unlisted("from jaxcnn.nn import Conv, install_hints") == ["jaxcnn.nn.install_hints"]
    modules = {"p._a": ["p._b"], "p._b._c": ["p._a"], "p._d": ["p._a"]}
    assert set(cycle(neighbours("p", modules))) == {"_a", "_b"}
    assert cycle(neighbours("p", {**modules, "p._b._c": ["math"]})) == []
