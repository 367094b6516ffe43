"""Printing, shared by all verbs: lines, tables and JSON.

Text from the user (paths, class names, settings) is never markup, and its control characters are escaped.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxcnn._errors import printable
from jaxcnn._reprs import text_table
from jaxcnn._terminal import can_redraw, plain


def console() -> Console:
    """A console on standard output that takes no text for markup.

    In a file, a pipe or a cell of a notebook, nothing is coloured, and lines are not wrapped to the width of a screen.
    """
    made = _Console()
    return made if can_redraw(made) else _Console(**plain(made))


class _Console(Console):
    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text of a string that Rich prints, also in tables."""
        return super().render_str(printable(text, keep="\n"), **options)


def say(text: str) -> None:
    """Prints text that may hold names of files or classes."""
    print(printable(text, keep="\n"))


def print_json(value: Any) -> None:
    """Prints a value as JSON, in ASCII characters; a number that is not finite, which JSON does not have, as null."""
    json.dump(_finite(value), sys.stdout, indent=2, allow_nan=False)
    print()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Prints a table with numeric columns aligned to the right; in a file or a pipe, lines are not wrapped."""
    numeric = [bool(rows) and all(isinstance(row[index], int | float) for row in rows) for index in range(len(columns))]
    title, columns = printable(title), [printable(column) for column in columns]
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    screen = console()
    if not screen.is_terminal:
        print("\n".join(([title] if title else []) + text_table([list(columns), *cells], right=numeric)))
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    screen.print(table)
