"""Detection of terminals, on which written output can be changed, unlike in a file, a pipe or a notebook's cell.

The consoles are those of rich, which is not imported here.
"""

import os
from typing import Any


def can_redraw(console: Any) -> bool:
    """Whether a console is a terminal, which can replace what it shows.

    A program that a cell of a notebook runs with ``!`` has a terminal, but the notebook keeps all of its output.
    Jupyter sets ``JPY_PARENT_PID`` for such programs.
    """
    return bool(console.is_terminal) and "JPY_PARENT_PID" not in os.environ


def plain(console: Any) -> dict[str, Any]:
    """The options of a console that writes neither colours nor control codes, and does not wrap lines."""
    return {"width": max(console.width, 160), "no_color": True, "force_terminal": False, "force_jupyter": False}
