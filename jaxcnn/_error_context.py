"""The name of the public function at the beginning of an error message, added once, at the boundary.

Helpers raise messages without a name. ``install_hints`` gives each public function and module a context of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_MARK = "_jaxcnn_context"
_SHAPES = "shapes"  # in errors of functions of this package, the calling function is named instead


@contextmanager
def error_context(name: str, *, package: str | None = None) -> Iterator[None]:
    """Adds ``name`` to the message of an error that jaxcnn raises inside. Also a decorator.

    If public functions of one package call each other, the message names the outermost one. A name that another package
    or a module has added is kept, unless it is a function of ``jaxcnn.shapes``.

    Args:
        name: the name to add: of a public function, a class, or a kind of object.
        package: the package of the function, such as ``"functional"``. With None, no other context replaces the name.

    >>> @error_context("halve")
    ... def halve(size: int) -> int:
    ...     if size % 2:
    ...         raise ValueError(f"size={size} must be even.")
    ...     return size // 2
    >>> halve(3)
    Traceback (most recent call last):
    ValueError: halve: size=3 must be even.
    """
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        message, inner = getattr(error, _MARK, (None, None))
        if message is None and _is_ours(error):
            message, inner = error.args[0], _SHAPES
        if message is not None and inner in (package or _SHAPES, _SHAPES):
            error.args = (f"{name}: {message}",)
            setattr(error, _MARK, (message, package))
        raise


def message_of(error: BaseException, *, without: str) -> str:
    """The message of an error, without the name that a function of the package ``without`` added.

    >>> @error_context("halve", package="train")
    ... def halve(size: int) -> int:
    ...     raise ValueError(f"size={size} must be even.")
    >>> try:
    ...     halve(3)
    ... except ValueError as error:
    ...     print(message_of(error, without="train"))
    size=3 must be even.
    """
    message, package = getattr(error, _MARK, (None, None))
    return message if message is not None and package == without else str(error)


def _is_ours(error: BaseException) -> bool:
    """Whether code of this package raised the error, with a single text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return raised_in.split(".")[0] == "jaxcnn" and len(error.args) == 1 and isinstance(error.args[0], str)
