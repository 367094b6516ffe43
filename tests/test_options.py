"""Options with a fixed set of values are Literals, and each set is defined once."""

import ast
import importlib
import inspect
import sys
import types
import typing
from pathlib import Path

from jaxcnn._errors import check_choice
from jaxcnn._geometry import ConvAlgorithm, PaddingMode
from jaxcnn.functional import conv_algorithms

ROOT = Path(__file__).parent.parent

# Boundary modes exclude the mode of zeros; the sources of weights depend on the model.
OPEN_OPTIONS = {
    ("jaxcnn._geometry._boundary", "padding_mode"),
    ("jaxcnn.models._weights._torch", "source"),
}


def literals(annotation: object) -> set[str]:
    """The values of the Literals in a type."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return set().union(*map(literals, typing.get_args(annotation)))


def written(values: ast.expr) -> frozenset[object]:
    """The values of a tuple of constants, or of one constant; empty for any other expression."""
    entries = values.elts if isinstance(values, ast.Tuple) else [values]
    constants = [entry.value for entry in entries if isinstance(entry, ast.Constant)]
    return frozenset(constants) if len(constants) == len(entries) else frozenset()


def literals_in(source: str) -> list[frozenset[object]]:
    """The values of each Literal in a module."""
    if "Literal" not in source:
        return []  # the string is absent from most files, which need not be parsed
    return [
        written(node.slice)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Literal", "typing.Literal")
    ]


def test_each_literal_is_written_once() -> None:
    places: dict[frozenset[object], list[str]] = {}
    for path in sorted((ROOT / "jaxcnn").rglob("*.py")):
        for values in literals_in(path.read_text(encoding="utf-8")):
            places.setdefault(values, []).append(path.relative_to(ROOT).as_posix())
    assert len(places) >= 20
    assert {tuple(values): files for values, files in places.items() if len(files) > 1} == {}, "share one alias"


def loose_options(module: types.ModuleType) -> tuple[int, list[str]]:
    """The number of options that a module checks with ``check_choice``, and the options with another annotation.

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
                if isinstance(call.args[1], ast.Tuple) and written(call.args[1]):
                    found.append(f"{module.__name__}.{node.name}: {option} is written out; use typing.get_args")
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
    assert count == 3
    assert found == [
        f"{__name__}.choose: kind",
        f"{__name__}.choose: kind is written out; use typing.get_args",
        f"{__name__}.choose: mode",
        f"{__name__}.choose: mode is written out; use typing.get_args",
    ]
    assert literals_in('a: Literal["x", "y"] | None; b = typing.Literal["y", "x"]; c = x[0]') == [{"x", "y"}] * 2
