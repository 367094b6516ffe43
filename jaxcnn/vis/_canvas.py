"""Shared by all pictures: the style, independent of the user's settings, colours, and atomic writing of files.

Matplotlib is imported only when something is drawn, and without pyplot, which keeps a list of figures and looks for a
display.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jaxcnn._files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion, which differ for all common kinds of colour blindness and in grey print.
TRAIN, TEST = "#0072B2", "#D55E00"
INK, FAINT, PAPER = "#222222", "#777777", "#F2F2F2"

_STYLE = {
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # embed TrueType fonts, so that text is searchable; publishers require it
    "svg.hashsalt": "jaxcnn",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$"
    "xtick.color": "#555555",
    "xtick.major.width": 0.6,
    "ytick.color": "#555555",
    "ytick.major.width": 0.6,
}
# Without a date or a version in the metadata, the same data give the same bytes.
_METADATA = {
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """A context in which matplotlib draws in the library's style, independent of its configuration."""
    # The first import on a machine builds a cache of fonts and logs it, within the progress display of a run.
    logging.getLogger("matplotlib.font_manager").addFilter(_is_not_about_the_font_cache)
    from matplotlib.style import context

    with context(["default", _STYLE]), warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes, without a warning for each.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def no_frame(axes: "Axes") -> None:
    """Removes the frame and the tick marks, but not the labels."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Writes a figure atomically: a kill at any moment leaves the old file or the new one.

    Raises:
        ValueError: a suffix other than ``.pdf``, ``.png`` and ``.svg``.
    """
    suffix = suffix_of(path)
    with style(), replacing(Path(path)) as file:
        figure.savefig(file, format=suffix[1:], dpi=200, metadata=_METADATA[suffix])


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix of a picture, in lower case.

    Raises:
        ValueError: a suffix other than ``.pdf``, ``.png`` and ``.svg``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _METADATA:
        raise ValueError(f"a picture is written as .pdf, .png or .svg, but the path is {os.fspath(path)}.")
    return suffix


def shortened(name: str, longest: int) -> str:
    """A name with at most ``longest`` characters, ending in an ellipsis if it is cut.

    >>> shortened("Norwegian elkhound", 10)
    'Norwegian…'
    """
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def _is_not_about_the_font_cache(record: logging.LogRecord) -> bool:
    return "font cache" not in record.getMessage()
