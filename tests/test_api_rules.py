"""The style guide as a test: what every public function and class of the library has to look like."""

import ast
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxcnn._errors import check_choice
from jaxcnn._geometry import ConvAlgorithm, PaddingMode
from jaxcnn.functional import conv_algorithms

ROOT = Path(__file__).parent.parent
OPERATIONS = ("jaxcnn.functional", "jaxcnn.functional.filters", "jaxcnn.metrics")
FACES = (*OPERATIONS, "jaxcnn.attribution", "jaxcnn.augment", "jaxcnn.nn", "jaxcnn.shapes")
# Of these a source would be the library itself.
NO_SOURCE = {"accelerate", "batch_stats", "conv_algorithms", "explain_conv", "use_tuning"}
# A switch, ``accelerate(False)``; a window as of the other filters, ``high_pass((5, 5))``; the pattern of a search.
POSITIONAL_DEFAULTS = {
    ("accelerate", "enabled"),
    ("cross_entropy", "label_smoothing"),
    ("high_pass", "window_shape"),
    ("list_models", "pattern"),
    ("select", "pattern"),
}
# The key initialises the last layer only if the file has another number of classes.
KEY_IS_OPTIONAL = {"load_torch"}
# Examples require a run; the tests of the training loop are longer ones.
NO_EXAMPLE = {"fit", "load_trained", "with_settings"}
# Parameters without a word in the docstring.
NOT_DESCRIBED = {
    ("batch_stats", "dtype"),
    ("box", "dtype"),
    ("box", "window_shape"),
    ("decay_mask", "params"),
    ("fit", "progress"),
    ("high_pass", "dtype"),
    ("high_pass", "window_shape"),
    ("to_unit", "images"),
    ("with_settings", "assignments"),
}
EMPTY = inspect.Parameter.empty


def present() -> list[str]:
    return [face for face in FACES if importlib.util.find_spec(face) is not None]


def public(face: str, kind: Callable[[Any], bool]) -> list[tuple[str, Any]]:
    """The members of a face under ``__all__`` that are of a kind, with their full names."""
    module = importlib.import_module(face)
    members = [(name, getattr(module, name)) for name in module.__all__]
    return [(f"{face}.{name}", member) for name, member in members if kind(member)]


def is_function(member: Any) -> bool:
    return callable(member) and not inspect.isclass(member)


FUNCTIONS = [pair for face in present() for pair in public(face, is_function)]
CLASSES = [pair for face in present() for pair in public(face, inspect.isclass)]


def source_of(function: Any) -> str:
    return inspect.getsource(inspect.unwrap(function))


def problems(function: Any) -> list[str]:
    """What a public function has that the style guide refuses."""
    found = []
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        optional = parameter.default is not EMPTY and parameter.kind is not parameter.KEYWORD_ONLY
        if optional and (function.__name__, name) not in POSITIONAL_DEFAULTS:
            found.append(f"{name} has a default and is not keyword-only")
        if parameter.annotation is EMPTY:
            found.append(f"{name} has no annotation")
    if signature.return_annotation is inspect.Signature.empty:
        found.append("the result has no annotation")
    names = list(signature.parameters)
    if "rng" in names or ("key" in names and names[0] != "key" and function.__name__ not in KEY_IS_OPTIONAL):
        found.append("a random function takes key, and takes it first")
    source, text = source_of(function), inspect.getdoc(function) or ""
    code = code_of(source)
    if re.search(r"\brandom\.(bernoulli|bits|categorical|normal|permutation|randint|split|uniform)\b", code) and names[
        :1
    ] != ["key"]:
        found.append("draws random numbers without key as its first argument")
    if not text:
        found.append("has no docstring")
    if ">>>" not in text and function.__name__ not in NO_EXAMPLE:
        found.append("has no example in its docstring")
    for name in signature.parameters:
        if text and not re.search(rf"\b{name}\b", text) and (function.__name__, name) not in NOT_DESCRIBED:
            found.append(f"{name} is not described")
    if (
        re.search(r"\b(raise|check_choice|ShapeError|TypeError|ValueError)\b", code_of(source))
        and "Raises:" not in text
    ):
        found.append("raises and says so in no Raises section")
    return found


def code_of(source: str) -> str:
    """A function's source without its docstring."""
    tree = ast.parse(inspect.cleandoc(source) if source[:1].isspace() else source)
    definition = tree.body[0]
    if isinstance(definition, ast.FunctionDef) and ast.get_docstring(definition) is not None:
        definition.body = definition.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def test_every_function() -> None:
    found = {name: problems(function) for name, function in FUNCTIONS}
    assert {name: some for name, some in found.items() if some} == {}


def test_every_operation_names_its_source() -> None:
    """``Source:`` with a paper and equation, or a textbook section."""
    named = [
        (name, function)
        for name, function in FUNCTIONS
        if name.rpartition(".")[0] in OPERATIONS and name.split(".")[-1] not in NO_SOURCE
    ]
    without = [name for name, each in named if not re.search(r"^Source:", inspect.getdoc(each) or "", re.MULTILINE)]
    assert named and without == []


def problems_of_class(name: str, member: Any) -> list[str]:
    """What a public class has that the style guide refuses."""
    found = []
    text = inspect.getdoc(member) or ""
    if not text or text == inspect.getdoc(member.__mro__[1]):
        found.append("has no docstring of its own")
    if name.startswith("jaxcnn.nn."):  # other classes are records, which show in the example of what makes them
        if ">>>" not in text:
            found.append("has no example in its docstring")
        call = inspect.signature(member.__call__)
        bare = [key for key, value in list(call.parameters.items())[1:] if value.annotation is EMPTY]
        if bare:
            found.append(f"__call__ has no annotation for {bare}")
        if call.return_annotation is inspect.Signature.empty:
            found.append("the result of __call__ has no annotation")
    return found


def test_every_class() -> None:
    found = {name: problems_of_class(name, member) for name, member in CLASSES}
    assert {name: some for name, some in found.items() if some} == {}


def in_order(names: list[str]) -> list[str]:
    """Constants, then classes, then the rest, each by the alphabet: the order that ruff keeps."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))


def test_all_is_sorted_and_true() -> None:
    for face in present():
        module = importlib.import_module(face)
        assert list(module.__all__) == in_order(list(module.__all__)), face
        assert [name for name in module.__all__ if not hasattr(module, name)] == [], face


@functools.cache
def imported_names() -> frozenset[str]:
    """Every name that some module of the library imports from another."""
    names: set[str] = set()
    for path in (ROOT / "jaxcnn").rglob("*.py"):
        if path.name == "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    """Names without an underscore that are neither on the face nor imported by another module of the library."""
    face = ".".join(path.relative_to(ROOT).parts[:2])
    exported = {
        name for module in present() if module.startswith(face) for name in importlib.import_module(module).__all__
    }
    return [name for name in public_definitions(path) if name not in exported and name not in imported_names()]


def test_public_definitions_are_exported_or_shared() -> None:
    found = {str(path): stray(path) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}, "export them, or give them an underscore"


# Padding has counts too; the modes of a boundary are those without zeros; the sources of weights depend on the model.
OPEN_OPTIONS = {
    ("jaxcnn._geometry._boundary", "padding_mode"),
    ("jaxcnn._geometry._padding", "padding"),
    ("jaxcnn.nn._flax_conv", "padding"),
    ("jaxcnn.models._weights._torch", "source"),
}


def literals(annotation: Any) -> set[str]:
    """The values of the Literals in a type."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return set().union(*map(literals, typing.get_args(annotation)))


def loose_options(module: types.ModuleType) -> tuple[int, list[str]]:
    """The number of options that a module checks with ``check_choice``, and those whose annotation has other values.

    Options are parameters of functions, and fields of classes.
    """
    count, found = 0, []
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        owner = getattr(module, node.name)
        hints = typing.get_type_hints(inspect.unwrap(owner))
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "check_choice":
                option = next(str(ast.literal_eval(each.value)) for each in call.keywords if each.arg == "name")
                if option in hints and (module.__name__, option) not in OPEN_OPTIONS:
                    count += 1
                    known = eval(ast.unparse(call.args[1]), vars(module) | {"default": None})
                    if literals(hints[option]) != set(known) - {None}:
                        found.append(f"{module.__name__}.{node.name}: {option}")
    return count, found


def test_options_with_a_fixed_set_of_values_are_literals() -> None:
    paths = [path for path in (ROOT / "jaxcnn").rglob("*.py") if "check_choice(" in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    results = [loose_options(importlib.import_module(name)) for name in names if name != "jaxcnn._errors"]
    assert sum(count for count, _ in results) >= 20
    assert [each for _, found in results for each in found] == []
    assert literals(ConvAlgorithm) == {"auto", *conv_algorithms()}


def choose(kind: typing.Literal["a", "b"], mode: str, padding_mode: PaddingMode) -> None:
    check_choice(kind, ("a",), name="kind")
    check_choice(mode, ("full",), name="mode")
    check_choice(padding_mode, typing.get_args(PaddingMode), name="padding_mode")


def test_the_rule_of_literals_can_fail() -> None:
    count, found = loose_options(sys.modules[__name__])
    assert (count, found) == (3, [f"{__name__}.choose: kind", f"{__name__}.choose: mode"])


def bad(x, size=1):  # type: ignore[no-untyped-def]
    raise ValueError(x, size)


def late_key(x: int, key: int, other: int) -> int:
    """The sum of x and key.

    >>> 1
    1
    """
    return x + key


class Bare:
    def __call__(self, x):  # type: ignore[no-untyped-def]
        return x


def test_the_rules_can_fail() -> None:
    assert problems(bad) == [
        "x has no annotation",
        "size has a default and is not keyword-only",
        "size has no annotation",
        "the result has no annotation",
        "has no docstring",
        "has no example in its docstring",
        "raises and says so in no Raises section",
    ]
    assert problems(late_key) == ["a random function takes key, and takes it first", "other is not described"]
    assert problems_of_class("jaxcnn.nn.Bare", Bare) == [
        "has no docstring of its own",
        "has no example in its docstring",
        "__call__ has no annotation for ['x']",
        "the result of __call__ has no annotation",
    ]
    assert in_order(["b", "a", "Name", "ALL"]) == ["ALL", "Name", "a", "b"]
