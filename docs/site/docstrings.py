"""Changes to docstrings for the reference: examples are code blocks, and arguments of modules have types."""

from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Puts each example between fences, and describes the fields of Flax modules as attributes.

    Markdown would show lines that begin with ``>>>`` as quotations. A Flax module has no ``__init__`` in its source, so
    the types of its arguments are the types of its attributes.
    """

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once for each object that has been read."""
        if obj.docstring is None:
            return
        text = fenced(obj.docstring.value)
        if obj.is_class and "__init__" not in obj.members:
            text = text.replace("\nArgs:\n", "\nAttributes:\n")
        obj.docstring.value = text


def fenced(text: str) -> str:
    """The text with a fence before and after each paragraph that begins with ``>>>``."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```python\n{p}\n```" if p.lstrip().startswith(">>>") else p for p in paragraphs)
