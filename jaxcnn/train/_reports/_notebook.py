"""The display of a run in a notebook: one line that changes."""

import sys
from typing import Any

from jaxcnn.train._reports._progress import ConsoleProgress


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class NotebookProgress(ConsoleProgress):
    """Shows a run in one line of a cell, which each step and each epoch replaces."""

    _line: Any = None

    def __enter__(self) -> "NotebookProgress":
        return self

    def due(self, seconds: float) -> bool:
        """Whether the line is due for a change."""
        return self._since_shown() >= seconds

    def _update(self, **fields: object) -> None:
        self._print("  ".join(str(fields[name]) for name in ("description", "figures") if fields.get(name)))

    def _print(self, line: str) -> None:
        from IPython.display import display

        if self._line is None:
            self._line = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._line.update({"text/plain": line}, raw=True)
