"""Formulas of the site: the text of a ```math block, in LaTeX, becomes MathML, which browsers show without a script."""

from typing import Any

from latex2mathml.converter import convert


def block(source: str, language: str, css_class: str, options: dict[str, Any], md: Any, **kwargs: Any) -> str:
    """The formula on a line of its own, as pymdownx.superfences calls it."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'
