"""What a mistake is called and how it is worded.

A message says who refuses, what was expected, what came, and what to try.
"""

import difflib
from collections.abc import Iterable


class ShapeError(ValueError):
    """A size or a spelling that an operation cannot serve."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a message about a misspelt word: a suggestion where one is near, else the whole list.

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


def check_choice(value: object, known: Iterable[str], *, who: str, name: str) -> None:
    """Refuses a word that is not among the known ones.

    Raises:
        ShapeError: naming the nearest known word.
    """
    known = list(known)
    if value not in known:
        raise ShapeError(f"{who}: {name}={value!r} is not known. {did_you_mean(value, known)}")


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
