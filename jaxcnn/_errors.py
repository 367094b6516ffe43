"""The error of shapes, and checks that packages share.

A message states what was expected, what was passed, and what to try. ``jaxcnn._error_context`` adds the name of the
public function.
"""

from collections.abc import Iterable

from jaxcnn._hints import did_you_mean


class ShapeError(ValueError):
    """A shape or a size that an operation does not support."""


ShapeError.__module__ = "jaxcnn"  # the public name, also in tracebacks


def check_choice(value: object, known: Iterable[str], *, name: str) -> None:
    """Raises unless a value is one of the known values.

    Raises:
        ValueError: an unknown value; the message suggests the nearest.
    """
    known = list(known)
    if value not in known:
        raise ValueError(f"{name}={value!r} is not known. {did_you_mean(value, known)}")


def printable(text: str, *, keep: str = " ") -> str:
    r"""Text from a file, a path or a user, with escape sequences in place of characters that a terminal does not print.

    These are control characters (such as those that move the cursor), marks that reorder text, line separators, and
    the surrogates by which Python represents bytes of file names that are not UTF-8.

    Args:
        text: the text.
        keep: characters that stay, such as ``"\n"`` in a message of several lines.

    >>> printable("a\x1b[2Jb\n"), printable("naïve 猫"), printable("\udce9.png")
    ('a\\x1b[2Jb\\n', 'naïve 猫', '\\udce9.png')
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text
    )
