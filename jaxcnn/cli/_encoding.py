"""Characters that the encoding of a terminal or a pipe does not have."""

import codecs
import io
import sys
import unicodedata

# Characters whose decomposition has no ASCII characters.
_ASCII = {"±": "+-", "×": "x", "−": "-", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "→": "->"}  # noqa: RUF001
_ASCII |= {"≤": "<=", "≥": ">=", "≈": "~", "·": ".", "•": "*", "ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "█": "#"}


def show_any_text() -> None:
    """Makes standard output and standard error accept every character in every encoding.

    A character that the encoding does not have is replaced: ``±`` by ``+-``, ``é`` by ``e``, one without an ASCII
    equivalent by its escape sequence.
    """
    codecs.register_error("jaxcnn.degrade", degrade)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="jaxcnn.degrade")


def degrade(error: UnicodeError) -> tuple[str, int]:
    """An error handler of ``codecs``: ASCII characters in place of those that cannot be encoded.

    >>> degrade(UnicodeEncodeError("ascii", "± 5 猫", 0, 1, ""))
    ('+-', 1)
    >>> degrade(UnicodeEncodeError("ascii", "± 5 猫", 4, 5, ""))
    ('\\\\u732b', 5)
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _ASCII.get(character) or decomposed or character.encode("unicode_escape").decode()
