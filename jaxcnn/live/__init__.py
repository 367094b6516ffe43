"""A live view: a page in the browser that shows a run while it trains."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.live._view import LiveView
from jaxcnn.live._watch import watch_run

__all__ = ["LiveView", "watch_run"]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
