"""What every picture shares: one style whatever the user's own, colours all eyes tell apart, files in one step.

Matplotlib is imported only when something is drawn, and only its objects: pyplot would keep a list of figures and
look for a display.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jaxcnn._replace_file import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion: told apart in every common colour blindness, and in grey print.
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
    "pdf.fonttype": 42,  # letters stay letters: searchable, and accepted by publishers
    "svg.hashsalt": "jaxcnn",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$"
    "xtick.color": "#555555",
    "xtick.major.width": 0.6,
    "ytick.color": "#555555",
    "ytick.major.width": 0.6,
}
# Without a date or a version inside, the same numbers give the same bytes.
_METADATA = {
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within it matplotlib draws in the library's style, whatever its configuration says."""
    # The first import on a machine builds a cache of fonts and would say so in the middle of a run's progress.
    logging.getLogger("matplotlib.font_manager").addFilter(_no_news_of_the_cache)
    from matplotlib.style import context

    with context(["default", _STYLE]), warnings.catch_warnings():
        # A class name in a script that the font lacks gives boxes, not a warning for each letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches that knows no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def no_frame(axes: "Axes") -> None:
    """Takes away the frame and the tick marks; labels stay."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Writes a figure so that a kill at any moment leaves the old file or the new one, never half of one.

    Raises:
        ValueError: an ending that is none of ``.pdf``, ``.png`` and ``.svg``.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _METADATA:
        raise ValueError(f"a picture is written as .pdf, .png or .svg, but the path is {path}.")
    with style(), replacing(path) as file:
        figure.savefig(file, format=ending[1:], dpi=200, metadata=_METADATA[ending])


def shortened(name: str, longest: int) -> str:
    """A name cut to so many letters, the last of them an ellipsis.

    >>> shortened("Norwegian elkhound", 10)
    'Norwegian…'
    """
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def _no_news_of_the_cache(record: logging.LogRecord) -> bool:
    return "font cache" not in record.getMessage()
