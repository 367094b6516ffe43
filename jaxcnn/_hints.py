"""The boundary of the public functions: their names in errors, and hints for names and arguments that do not exist.

Each package calls ``install_hints`` at the end of its ``__init__``. The names are data, in ``jaxcnn/_other_names.py``.
Nothing is computed before an error is raised, and nothing here imports jax.
"""

import difflib
import functools
import inspect
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from jaxcnn._error_context import error_context
from jaxcnn._other_names import ARGUMENT_NOTES, ARGUMENTS, NAMES

_LIBRARIES = ("contextlib", "flax", "functools", "jax", "jaxcnn")


def install_hints(namespace: dict[str, Any], *, names: Mapping[str, str] | None = None) -> Callable[[str], NoReturn]:
    """Adds readable errors for invalid arguments to the public functions and classes of a package.

    Args:
        namespace: ``globals()`` of the package, with ``__all__``.
        names: hints for missing names, in addition to those of ``jaxcnn/_other_names.py``.

    Returns:
        the ``__getattr__`` of the package, which raises with a hint for a missing name.

    >>> namespace = {"__name__": "jaxcnn.nn", "__all__": ["Conv"], "Conv": object}
    >>> install_hints(namespace)("Conv2D")
    Traceback (most recent call last):
    AttributeError: module 'jaxcnn.nn' has no attribute 'Conv2D'. Use Conv, for any number of spatial axes.
    """
    package, public = namespace["__name__"], namespace["__all__"]
    folder = package.removeprefix("jaxcnn.").split(".")[0]
    for name in public:
        member = namespace[name]
        if isinstance(member, types.FunctionType):
            namespace[name] = explained = explain_arguments(member, member.__name__, package=folder)
            # In the defining module too: pickle looks a function up there and expects the same object.
            setattr(sys.modules[member.__module__], member.__name__, explained)
        elif isinstance(member, type) and not issubclass(member, BaseException):
            for method in ("__init__", "__call__", "features"):
                if isinstance(function := vars(member).get(method), types.FunctionType):
                    setattr(member, method, explain_arguments(function, member.__name__))
    return functools.partial(missing_name, package, public, {**NAMES.get(package, {}), **(names or {})})


def missing_name(package: str, public: Sequence[str], hints: Mapping[str, str], name: str) -> NoReturn:
    """Raises for a name that a package does not have.

    Args:
        package: the package's name.
        public: the names that it has.
        hints: what to use in place of other names.
        name: the missing name.

    Raises:
        AttributeError: always, except in ``from package import name`` with a hint.
        ImportError: in that statement, which would replace the message of an AttributeError.
    """
    hint = "" if name.startswith("_") else _hint(name, public, hints)
    message = f"module {package!r} has no attribute {name!r}.{hint}"
    # The caller, or the caller of the package's own ``__getattr__``.
    caller = sys._getframe(1)
    callers = [frame.f_code.co_name for frame in (caller, caller.f_back) if frame is not None]
    if hint and "_handle_fromlist" in callers:
        raise ImportError(message, name=package)
    raise AttributeError(message, name=name)  # with ``name`` Python adds no suggestion


def _hint(name: str, public: Sequence[str], hints: Mapping[str, str]) -> str:
    key = _normalized_name(name)
    for known in public:
        if _normalized_name(known) == key:
            return f" Use {known}" + (", for any number of spatial axes." if re.search("[123][dD]", name) else ".")
    found = {_normalized_name(known): hint for known, hint in hints.items()}
    if key in found:
        return f" Use {found[key]}."
    near = difflib.get_close_matches(name, public, n=1, cutoff=0.75)
    return f" Did you mean {near[0]!r}?" if near else ""


def _normalized_name(name: str) -> str:
    """A name without upper case, underscores and a number of axes: ``conv`` for ``Conv2D``, ``conv_2d``, ``conv3d``."""
    return re.sub("[123]d", "", name.replace("_", "").lower())


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known word, or the whole list if none is near.

    >>> did_you_mean("smae", ["SAME", "VALID"])
    "Did you mean 'SAME'?"
    >>> did_you_mean("q", ["SAME", "VALID"])
    "Known: 'SAME', 'VALID'."
    """
    known = list(known)
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {by_lower[near[0]]!r}?"
    return "Known: " + ", ".join(repr(name) for name in known) + "."


def explain_arguments(function: Callable[..., Any], name: str, *, package: str | None = None) -> Callable[..., Any]:
    """The function, with its name in its errors and a readable error for arguments that do not fit the signature.

    >>> def conv(x, kernel, *, strides=1): ...
    >>> explain_arguments(conv, "conv")(1, 2, stride=2)
    Traceback (most recent call last):
    TypeError: conv: there is no argument 'stride'. Did you mean 'strides'?
    """
    if hasattr(function, "_arguments_explained"):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with error_context(name, package=package):
            try:
                return function(*args, **kwargs)
            except TypeError:
                problem = argument_problem(function, args, kwargs, name=name)
                if problem is None:
                    raise
            raise TypeError(problem)

    call._arguments_explained = True  # type: ignore[attr-defined]
    return call


def argument_problem(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, name: str
) -> str | None:
    """A description of invalid arguments and of their correction; None for valid arguments.

    >>> def crop(key, images, *, size, padding=0): ...
    >>> argument_problem(crop, ("key", "images"), {}, name="crop")
    'size is missing. The call is crop(key, images, size=...).'
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        parameters = list(signature.parameters.values())
    else:
        return None
    if parameters[:1] and parameters[0].name == "self":
        parameters, args = parameters[1:], args[1:]
    keyword_only = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    positional = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    kinds = {each.kind for each in parameters}
    unknown = [word for word in kwargs if word not in (*positional, *keyword_only)]
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds:
        return unknown_arguments(unknown, [*positional, *keyword_only])
    if len(args) > len(positional) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        return (
            f"{len(args)} positional arguments are given, but only {', '.join(positional) or 'none'} can be. "
            f"By keyword: {', '.join(keyword_only) or 'none'}."
        )
    if twice := [word for word in positional[: len(args)] if word in kwargs]:
        return f"{twice[0]} is given by position and by keyword. The positions are {', '.join(positional)}."
    required = [each.name for each in parameters if each.default is each.empty and each.kind <= each.KEYWORD_ONLY]
    given = {*positional[: len(args)], *kwargs}
    missing = [word for word in required if word in (*positional, *keyword_only) and word not in given]
    shown = [word if word in positional else f"{word}=..." for word in required]
    verb = "is" if len(missing) == 1 else "are"
    sentence = f"{' and '.join(missing)} {verb} missing. The call is {name}({', '.join(shown)})."
    if kwargs and not args and set(positional[:1]) <= set(missing):
        options = ", ".join(f"{word}={value!r}" for word, value in kwargs.items())
        sentence += f" To set options now and call later: functools.partial({name}, {options})."
    return sentence


def warn_user(message: str | None) -> None:
    """Warns at the calling line outside of jaxcnn, Flax and JAX, so once for each such line."""
    if message is None:
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def unknown_arguments(unknown: Sequence[str], known: Sequence[str]) -> str:
    """A sentence for each unknown argument, with the nearest known one.

    >>> unknown_arguments(["groups"], ["strides", "feature_group_count"])
    "there is no argument 'groups'. Did you mean 'feature_group_count'?"
    """
    first, *others = (_unknown_argument(word, known) for word in unknown)
    return " ".join([first, *(sentence[0].upper() + sentence[1:] for sentence in others)])


def _unknown_argument(word: str, known: Sequence[str]) -> str:
    sentence = f"there is no argument {word!r}."
    same = [name for name in ARGUMENTS.get(word, ()) if name in known]
    if same:
        return f"{sentence} Did you mean {same[0]!r}?"
    if word in ARGUMENT_NOTES:
        return f"{sentence} {ARGUMENT_NOTES[word]}"
    return f"{sentence} {did_you_mean(word, known)}" if known else sentence
