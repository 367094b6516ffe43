"""The rules of the style guide for every public function and class of the library."""

import ast
import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from jaxcnn._arrays import ArrayLike
from jaxcnn._geometry import PaddingMode
from tests.test_doors import EXPORTS, is_private

ROOT = Path(__file__).parent.parent
# Every package without a leading underscore.
FACES = sorted(face for face in EXPORTS if not any(map(is_private, face.split("."))))
# Packages of functions of arrays: their arguments accept NumPy arrays and lists, and have a shape in the docstring.
OPERATIONS = ("jaxcnn.functional", "jaxcnn.functional.filters", "jaxcnn.metrics", "jaxcnn.unsupervised")
OF_ARRAYS = (*OPERATIONS, "jaxcnn.augment", "jaxcnn.nn", "jaxcnn.shapes")
# Packages whose functions need no source, since the library itself would be the source.
NO_SOURCE = {"accelerate", "batch_stats", "conv_algorithms", "explain_conv", "in_batches", "init_psd", "use_tuning"}
# Arguments that may be positional although they have a default, and the reasons.
POSITIONAL_DEFAULTS = {
    ("accelerate", "enabled"): "a switch, accelerate(False)",
    ("cross_entropy", "label_smoothing"): "the only argument",
    ("fit", "run"): "fit(experiment, folder)",
    ("high_pass", "window_shape"): "a window, as of the other filters",
    ("join_processes", "coordinator"): "the address, as of jax.distributed.initialize",
    ("list_models", "pattern"): "the pattern of a search",
    ("load", "kind"): "load(folder, 'best')",
    ("main", "arguments"): "the only argument",
    ("select", "pattern"): "the pattern of a search",
    ("start_run", "settings"): "start_run(name, ['epochs=3'])",
}
# The key initialises the last layer only if the number of classes in the file differs.
KEY_IS_OPTIONAL = {"load_torch"}
# Functions and classes without an example, and the reasons.
NO_EXAMPLE = {
    "ConsoleProgress": "writes to the terminal; the example of fit shows its first line",
    "MLflow": "requires another package",
    "RunInfo": "what a callback receives",
    "WeightsAndBiases": "requires another package",
    "keep_compiled_programs": "changes a setting of the whole process",
    "largest_batch": "compiles a training step about ten times",
    "load": "reads a run; docs/own_training_step.md has an example",
    "load_trained": "reads a checkpoint of a run",
    "profile_run": "runs JAX's profiler",
    "silence_hooks": "changes hooks of the whole process",
}
# Parameters and fields of type Any, and the reasons; *args and **kwargs are passed on to another function.
ANY = {
    ("PortableProgram", "tree"): "a pytree",
    ("Setting", "default"): "of the type of the setting",
    ("Setting", "type"): "a type such as int | None, or a Literal",
    ("decay_mask", "params"): "a pytree",
    ("settings_to_json", "config"): "an experiment's own dataclass",
}
# Parameters without a description in the docstring.
NOT_DESCRIBED: set[tuple[str, str]] = set()
EMPTY = inspect.Parameter.empty
SHAPE = re.compile(r"``\(|\bshape|\baxes\b|\b(number|integer)\b|: as (in|given)|: as ``|: see|\bper (output )?channel")


def public(face: str, kind: Callable[[Any], bool]) -> list[tuple[str, Any]]:
    """The members of a package in ``__all__`` that are of a kind, with their full names."""
    module = importlib.import_module(face)
    members = [(name, getattr(module, name)) for name in module.__all__]
    return [(f"{face}.{name}", member) for name, member in members if kind(member)]


def is_function(member: Any) -> bool:
    return callable(member) and not inspect.isclass(member)


FUNCTIONS = [pair for face in FACES for pair in public(face, is_function)]
CLASSES = [pair for face in FACES for pair in public(face, inspect.isclass)]


def source_of(function: Any) -> str:
    return inspect.getsource(inspect.unwrap(function))


def problems(function: Any) -> list[str]:
    """The violations of the style guide by a public function."""
    found = []
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        optional = parameter.default is not EMPTY and parameter.kind is not parameter.KEYWORD_ONLY
        if optional and (function.__name__, name) not in POSITIONAL_DEFAULTS:
            found.append(f"{name} has a default and is not keyword-only")
        if parameter.annotation is EMPTY:
            found.append(f"{name} has no annotation")
        packed = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.annotation is Any and not packed and (function.__name__, name) not in ANY:
            found.append(f"{name} is Any")
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
    else:
        raised = {*re.findall(r"\braise (\w+)\(", code), *(["ValueError"] if "check_choice(" in code else [])}
        found += [f"raises {name}, which is not in its Raises section" for name in sorted(raised - raises(text))]
    return found


def raises(text: str) -> set[str]:
    """The exceptions in the Raises section of a docstring."""
    section = re.search(r"^Raises:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    return set(re.findall(r"\w+", section[1])) if section else set()


def code_of(source: str) -> str:
    """The source of a function without its docstring."""
    tree = ast.parse(inspect.cleandoc(source) if source[:1].isspace() else source)
    definition = tree.body[0]
    if isinstance(definition, ast.FunctionDef) and ast.get_docstring(definition) is not None:
        definition.body = definition.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def descriptions(function: Any) -> dict[str, str]:
    """The entries of ``Args:`` by name."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)+)", (inspect.getdoc(function) or "") + "\n", re.MULTILINE)
    entries = re.findall(r"^    \*{0,2}(\w+)(: .*\n(?:     .*\n)*)", section[1] if section else "", re.MULTILINE)
    return dict(entries)


def has_literal(annotation: Any) -> bool:
    """Whether a type contains a Literal, such as the names of padding."""
    return typing.get_origin(annotation) is typing.Literal or any(map(has_literal, typing.get_args(annotation)))


def problems_of_arrays(function: Any) -> list[str]:
    """The missing checks and shapes of the array arguments and results of a function of arrays."""
    found, described = [], descriptions(function)
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if name == "key":
            continue
        if parameter.annotation in (jax.Array, jax.Array | None):
            found.append(f"{name} is not ArrayLike")
        if has_literal(parameter.annotation) and "ValueError" not in raises(inspect.getdoc(function) or ""):
            found.append(f"{name} has a fixed set of values, and ValueError is not in its Raises section")
        if parameter.annotation in (ArrayLike, ArrayLike | None) and not SHAPE.search(described.get(name, "")):
            found.append(f"{name} has no shape")
    if signature.return_annotation is jax.Array and "Returns:" not in (inspect.getdoc(function) or ""):
        found.append("has no Returns section")
    return found


def test_every_function_of_arrays() -> None:
    found = {name: problems_of_arrays(each) for name, each in FUNCTIONS if name.rpartition(".")[0] in OF_ARRAYS}
    assert {name: some for name, some in found.items() if some} == {}


def test_every_function() -> None:
    found = {name: problems(function) for name, function in FUNCTIONS}
    assert {name: some for name, some in found.items() if some} == {}


def test_every_operation_names_its_source() -> None:
    """``Source:`` with a paper and an equation, or a section of a textbook."""
    named = [
        (name, function)
        for name, function in FUNCTIONS
        if name.rpartition(".")[0] in OPERATIONS and name.split(".")[-1] not in NO_SOURCE
    ]
    without = [name for name, each in named if not re.search(r"^Source:", inspect.getdoc(each) or "", re.MULTILINE)]
    assert named and without == []


def examples() -> str:
    """The lines of all examples of public functions, classes and methods."""
    texts = [inspect.getdoc(each) or "" for _, each in [*FUNCTIONS, *CLASSES]]
    texts += [inspect.getdoc(method) or "" for _, each in CLASSES for method in vars(each).values() if callable(method)]
    return "\n".join(line for text in texts for line in text.splitlines() if line.lstrip().startswith((">>>", "...")))


def results() -> set[str]:
    """The names of the classes that public functions and methods return, or that are fields of public classes."""
    functions = [function for _, function in FUNCTIONS]
    functions += [each for _, member in CLASSES for each in vars(member).values() if inspect.isfunction(each)]
    found = [inspect.signature(function).return_annotation for function in functions]
    found += [each for _, member in CLASSES for each in getattr(member, "__annotations__", {}).values()]
    found += [
        inspect.signature(each.fget).return_annotation
        for _, member in CLASSES
        for each in vars(member).values()
        if isinstance(each, property) and each.fget
    ]
    return set(re.findall(r"\w+", " ".join(map(inspect.formatannotation, found))))


def fields_of(member: Any) -> list[str]:
    """The public fields of a dataclass or a named tuple, without those that Flax adds to a module."""
    fields = [field.name for field in dataclasses.fields(member)] if dataclasses.is_dataclass(member) else []
    fields = fields or list(getattr(member, "_fields", ()))
    flax = {"parent", "name"} if issubclass(member, linen.Module) else set()
    return [name for name in fields if name not in flax and not name.startswith("_")]


def problems_of_class(name: str, member: Any, *, shown: str, returned: Set[str]) -> list[str]:
    """The violations of the style guide by a public class.

    Args:
        name: with its package.
        member: the class.
        shown: the lines of all examples, which may use it in place of an example of its own.
        returned: the names of the classes that functions return, whose examples may show them.
    """
    found = []
    text, short = inspect.getdoc(member) or "", name.rpartition(".")[2]
    # a dataclass generates its docstring
    if not text or text == inspect.getdoc(member.__mro__[1]) or text.startswith(f"{short}("):
        found.append("has no docstring of its own")
    found += [f"{field} is not described" for field in fields_of(member) if not re.search(rf"\b{field}\b", text)]
    types = getattr(member, "__annotations__", {})
    found += [f"{field} is Any" for field in fields_of(member) if types.get(field) is Any and (short, field) not in ANY]
    elsewhere = not issubclass(member, linen.Module) and (short in returned or re.search(rf"\b{short}\b", shown))
    abstract = issubclass(member, BaseException) or getattr(member, "_is_protocol", False)
    if not (">>>" in text or elsewhere or abstract or short in NO_EXAMPLE):
        found.append("is in no example")
    if issubclass(member, linen.Module):
        call = inspect.signature(member.__call__)
        bare = [key for key, value in list(call.parameters.items())[1:] if value.annotation is EMPTY]
        if bare:
            found.append(f"__call__ has no annotation for {bare}")
        if call.return_annotation is inspect.Signature.empty:
            found.append("the result of __call__ has no annotation")
        if name.startswith("jaxcnn.nn."):
            found += [
                f"{key} is not ArrayLike" for key, each in call.parameters.items() if each.annotation is jax.Array
            ]
    return found


def test_every_class() -> None:
    shown, returned = examples(), results()
    found = {name: problems_of_class(name, member, shown=shown, returned=returned) for name, member in CLASSES}
    assert {name: some for name, some in found.items() if some} == {}


def test_exceptions_from_the_rules_are_needed() -> None:
    """An exception for a function that follows the rule must be removed from its table."""
    names = {name.rpartition(".")[2] for name, _ in [*FUNCTIONS, *CLASSES]}
    assert {*NO_EXAMPLE, *NO_SOURCE, *KEY_IS_OPTIONAL} <= names
    parameters = {
        (function.__name__, name): each
        for _, function in FUNCTIONS
        for name, each in inspect.signature(function).parameters.items()
    }
    assert {key for key in POSITIONAL_DEFAULTS if key not in parameters} == set()
    fields = {(member.__name__, field) for _, member in CLASSES for field in fields_of(member)}
    assert set(ANY) <= fields | {key for key, each in parameters.items() if each.annotation is Any}


def bad(x, size=1):  # type: ignore[no-untyped-def]
    raise ValueError(x, size)


def late_key(x: int, key: int, other: Any) -> int:
    """The sum of x and key.

    >>> 1
    1
    """
    return x + key


class Bare(linen.Module):
    size: int

    def __call__(self, x):  # type: ignore[no-untyped-def]
        return x


class Typed(linen.Module):
    """A module.

    >>> Typed()
    Typed()
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


@dataclasses.dataclass
class Record:
    """A record."""

    shape: Any


def of_arrays(x: jax.Array, y: ArrayLike, z: ArrayLike, key: jax.Array, mode: PaddingMode) -> jax.Array:
    """The sum.

    Args:
        x: ``(n,)``.
        y: ``(n,)``.
        z: something.

    Raises:
        TypeError: no numbers.
    """
    if mode == "edge":
        raise KeyError(mode)
    return jnp.asarray(x) + jnp.asarray(y) + jnp.asarray(z)


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
    assert problems(late_key) == [
        "other is Any",
        "a random function takes key, and takes it first",
        "other is not described",
    ]
    assert problems_of_arrays(of_arrays) == [
        "x is not ArrayLike",
        "z has no shape",
        "mode has a fixed set of values, and ValueError is not in its Raises section",
        "has no Returns section",
    ]
    assert "raises KeyError, which is not in its Raises section" in problems(of_arrays)
    nothing = {"shown": "", "returned": frozenset()}
    assert problems_of_class("jaxcnn.nn.Bare", Bare, **nothing) == [
        "has no docstring of its own",
        "is in no example",
        "__call__ has no annotation for ['x']",
        "the result of __call__ has no annotation",
    ]
    assert problems_of_class("jaxcnn.nn.Typed", Typed, **nothing) == ["x is not ArrayLike"]
    assert problems_of_class("jaxcnn.data.Record", Record, **nothing) == [
        "shape is not described",
        "shape is Any",
        "is in no example",
    ]
    assert problems_of_class("jaxcnn.data.Record", Record, shown="", returned={"Record"})[:-1] == [
        "shape is not described"
    ]
