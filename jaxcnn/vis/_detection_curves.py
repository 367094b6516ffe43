"""Precision and recall of detections, and a number for each class as bars."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn.metrics import DetectionCurve
from jaxcnn.vis._canvas import FAINT, INK, TRAIN, new_figure, save_figure, shortened, style
from jaxcnn.vis._segmentation import class_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_NAME = 16
_MOST_COLOURED = 10  # further curves are grey


def draw_detection_curves(
    curves: Mapping[int, DetectionCurve], class_names: Sequence[str], path: str | os.PathLike[str], *, title: str
) -> None:
    """Writes the picture of ``detection_curves_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        curves: as in ``detection_curves_figure``.
        class_names: as in ``detection_curves_figure``.
        path: of the file.
        title: of the picture.

    Raises:
        ValueError: no curve, a class without a name, or an unknown suffix.

    >>> draw_detection_curves({}, ("background", "cat"), "curves.png", title="None")
    Traceback (most recent call last):
    ValueError: draw_detection_curves: there is no curve to draw.
    """
    save_figure(detection_curves_figure(curves, class_names, title=title), path)


def detection_curves_figure(
    curves: Mapping[int, DetectionCurve], class_names: Sequence[str], *, title: str
) -> "Figure":
    """Draws precision over recall of each class, with colours for the first ten classes.

    Further classes are grey. A curve begins at the detection of highest score, and ends at its dot.

    Args:
        curves: by label, as ``metrics.detection_curves`` returns them.
        class_names: a name for each class, the background first; long ones are cut.
        title: of the picture.

    Raises:
        ValueError: no curve, or a class without a name.

    >>> curve = DetectionCurve(recall=np.array([0.5]), precision=np.ones(1), scores=np.ones(1), count=2)
    >>> figure = detection_curves_figure({1: curve}, ("background", "cat"), title="Cats")
    >>> figure.axes[0].get_legend().texts[0].get_text()
    'cat (2)'
    """
    if not curves:
        raise ValueError("there is no curve to draw.")
    if outside := [label for label in curves if not 0 <= label < len(class_names)]:
        raise ValueError(f"class {outside[0]} has no name: there are {len(class_names)} class_names.")
    palette = class_colours(len(class_names))
    with style():
        figure = new_figure(5.0, 3.4)
        axes = figure.add_axes((0.12, 0.14, 0.56, 0.74))
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision")
        axes.grid(True)
        for number, (label, curve) in enumerate(sorted(curves.items())):
            color = palette[label] if number < _MOST_COLOURED else FAINT
            name = f"{shortened(str(class_names[label]), _LONGEST_NAME)} ({curve.count:,})"
            axes.plot(curve.recall, curve.precision, color=color, label=name if number < _MOST_COLOURED else None)
            axes.plot(curve.recall[-1:], curve.precision[-1:], "o", color=color, markersize=3)
        axes.legend(title="class (boxes)", title_fontsize=7, fontsize=7, frameon=False, loc=(1.03, 0))
        axes.set_title(title, weight="bold")
    return figure


def draw_class_bars(values: Mapping[str, float], path: str | os.PathLike[str], *, title: str, measure: str) -> None:
    """Writes the picture of ``class_bars_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        values: as in ``class_bars_figure``.
        path: of the file.
        title: of the picture.
        measure: as in ``class_bars_figure``.

    Raises:
        ValueError: no value, one outside of 0 to 1, or an unknown suffix.

    >>> draw_class_bars({"cat": 1.5}, "bars.png", title="Cats", measure="IoU")
    Traceback (most recent call last):
    ValueError: draw_class_bars: the value of 'cat' is 1.5. Expected shares from 0 to 1, or NaN.
    """
    save_figure(class_bars_figure(values, title=title, measure=measure), path)


def class_bars_figure(values: Mapping[str, float], *, title: str, measure: str) -> "Figure":
    """Draws one number for each class as a bar, the largest above, and their mean as a line.

    Args:
        values: from 0 to 1 by the name of the class, such as average precisions or IoUs; NaN has no bar, and does not
            count in the mean.
        title: of the picture.
        measure: what the numbers are, for the axis.

    Raises:
        ValueError: no value, or one outside of 0 to 1.

    >>> figure = class_bars_figure({"cat": 0.5, "dog": 0.7}, title="Pets", measure="IoU")
    >>> [text.get_text() for text in figure.axes[0].texts], figure.axes[0].get_xlabel()
    (['0.700', '0.500', 'mean 0.600'], 'IoU')
    """
    if not values:
        raise ValueError("there is no value to draw.")
    for name, value in values.items():
        if not (np.isnan(value) or 0 <= value <= 1):
            raise ValueError(f"the value of {name!r} is {value}. Expected shares from 0 to 1, or NaN.")
    ordered = sorted(values.items(), key=lambda pair: -np.nan_to_num(pair[1], nan=-1))
    with style():
        height = 0.75 + 0.2 * len(ordered)
        figure = new_figure(5.0, height)
        axes = figure.add_axes((0.24, 0.42 / height, 0.66, 0.2 * len(ordered) / height))
        places = np.arange(len(ordered))
        axes.barh(places, [value for _, value in ordered], height=0.7, color=TRAIN)
        axes.set(xlim=(0, 1), ylim=(len(ordered) - 0.4, -0.6), xlabel=measure)
        axes.set_yticks(places, [shortened(name, _LONGEST_NAME) for name, _ in ordered])
        axes.tick_params(axis="y", length=0)
        for place, (_, value) in enumerate(ordered):
            _write(axes, value, place)
        if not all(map(np.isnan, values.values())):
            mean = float(np.nanmean([value for _, value in ordered]))
            axes.axvline(mean, color=INK, linewidth=0.8, linestyle="--")
            axes.text(mean, -0.75, f"mean {mean:.3f}", ha="center", va="bottom", size=7, color=INK)
        axes.set_title(title, weight="bold", pad=14)
    return figure


def _write(axes: "Axes", value: float, place: int) -> None:
    """The number of a bar, after its end."""
    text = "none" if np.isnan(value) else f"{value:.3f}"
    axes.text((0.0 if np.isnan(value) else value) + 0.01, place, text, va="center", size=7, color=INK)
