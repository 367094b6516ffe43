"""Examples of docstrings as code blocks: Markdown would show lines that begin with ``>>>`` as quotations."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Puts each example of a docstring between fences."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once for each object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with a fence before and after each paragraph that begins with ``>>>``."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```python\n{p}\n```" if p.lstrip().startswith(">>>") else p for p in paragraphs)
