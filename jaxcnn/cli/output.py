"""How verbs speak: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def console() -> Console:
    """The terminal, or a file or pipe in which nothing is coloured, cut or wrapped to a screen's width."""
    made = Console()
    return made if made.is_terminal else Console(width=max(made.width, 160), no_color=True)


def print_json(value: Any) -> None:
    """Prints a value as JSON."""
    json.dump(value, sys.stdout, indent=2)
    print()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Prints a table; numbers stand on the right. Where nobody watches its lines are as long as they are."""
    numeric = [bool(rows) and all(isinstance(row[index], int | float) for row in rows) for index in range(len(columns))]
    cells = [[str(cell) for cell in row] for row in rows]
    screen = console()
    if not screen.is_terminal:
        print("\n".join(([title] if title else []) + _aligned([list(columns), *cells], numeric)))
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    screen.print(table)


def _aligned(table: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """A line for each row, its columns below one another."""
    widths = [max(len(row[index]) for row in table) for index in range(len(right))]
    return [
        "  ".join(
            cell.rjust(width) if there else cell.ljust(width)
            for cell, width, there in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in table
    ]
