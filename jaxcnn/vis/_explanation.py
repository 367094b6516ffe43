"""An image with attribution maps, and its most probable classes."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from jaxcnn.vis._canvas import INK, TRAIN, new_figure, no_frame, save_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL, _TOP, _BOTTOM = 1.9, 0.55, 0.35  # inches
_LONGEST_NAME = 18
_ROBUST = 99.5  # percentile of the absolute values that has the strongest colour


def draw_explanation(
    image: ArrayLike,
    maps: Mapping[str, ArrayLike],
    classes: Sequence[tuple[str, float]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Writes the picture of ``explanation_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        image: as in ``explanation_figure``.
        maps: as in ``explanation_figure``.
        classes: as in ``explanation_figure``.
        path: of the file.
        title: of the picture.

    Raises:
        ValueError: arguments for which ``explanation_figure`` raises, or an unknown suffix.

    >>> draw_explanation(np.zeros((2, 2, 1)), {}, [], "explanation.tiff", title="")
    Traceback (most recent call last):
    ValueError: draw_explanation: a picture is written as .pdf, .png or .svg, but the path is explanation.tiff.
    """
    save_figure(explanation_figure(image, maps, classes, title=title), path)


def explanation_figure(
    image: ArrayLike, maps: Mapping[str, ArrayLike], classes: Sequence[tuple[str, float]], *, title: str
) -> "Figure":
    """Draws an image, each map, and bars of the most probable classes, in a row.

    Of a map with channels, the entry of the greatest absolute value at each pixel is drawn; a map without channels is
    drawn over the image in grey. Maps without negative values are drawn from white to blue, others from red (negative)
    through white to blue. Each has its own scale: the 99.5th percentile of its absolute values has the strongest
    colour.

    Args:
        image: ``(height, width, 1 or 3)``, uint8 or floats, which are scaled from their least to their greatest value.
        maps: by their name; ``(rows, columns)``, such as of ``grad_cam``, or ``(height, width, channels)``.
        classes: names and probabilities, the most probable first.
        title: of the picture.

    Raises:
        ValueError: an image or a map of another rank.

    >>> figure = explanation_figure(np.eye(4)[..., None], {"saliency": np.eye(2)}, [("one", 0.9)], title="1.png")
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['input', 'saliency', 'classes']
    """
    picture = np.asarray(image, np.float32)
    if picture.ndim != 3 or picture.shape[-1] not in (1, 3):
        raise ValueError(f"image must have the shape (height, width, 1 or 3), not {picture.shape}.")
    arrays = {name: np.asarray(each, np.float32) for name, each in maps.items()}
    for name, each in arrays.items():
        if each.ndim not in (2, 3):
            raise ValueError(
                f"the map {name!r} must have the shape (rows, columns) or that of an image, not {each.shape}."
            )
    low, high = picture.min(), picture.max()
    picture = (picture - low) / max(high - low, 1e-12)
    panels = 1 + len(arrays) + bool(classes)
    ratio = picture.shape[0] / picture.shape[1]
    width, height = _PANEL * panels, _PANEL * 0.92 * ratio + _TOP + _BOTTOM
    with style():
        figure = new_figure(width, height)
        places = [
            (
                (index + 0.04) / panels,
                _BOTTOM / height,
                0.92 / panels,
                1 - (_TOP + _BOTTOM) / height,
            )
            for index in range(panels)
        ]
        axes = figure.add_axes(places[0])
        _show(axes, picture, "input")
        for place, (name, each) in zip(places[1:], arrays.items(), strict=False):
            _map(figure.add_axes(place), picture, each, name)
        if classes:
            left, below, wide, high = places[-1]
            _bars(figure.add_axes((left + 0.25 * wide, below, 0.7 * wide, high)), classes)
        figure.text(0.04 / panels, 1 - 0.1 / height, title, size=9, weight="bold", color=INK, va="top")
    return figure


def _show(axes: "Axes", picture: np.ndarray, title: str) -> None:
    axes.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title)
    no_frame(axes)


def _map(axes: "Axes", picture: np.ndarray, values: np.ndarray, name: str) -> None:
    """A map in colour, over the image where it has no channels."""
    over = values.ndim == 2
    if not over:
        strongest = np.abs(values).argmax(-1)
        values = np.take_along_axis(values, strongest[..., None], -1)[..., 0]
    signed = values.min() < 0
    most = float(np.percentile(np.abs(values), _ROBUST)) or float(np.abs(values).max()) or 1.0
    high, wide = picture.shape[:2]
    extent = (-0.5, wide - 0.5, high - 0.5, -0.5)
    axes.imshow(
        values,
        cmap="RdBu" if signed else "Blues",
        vmin=-most if signed else 0,
        vmax=most,
        extent=extent,
        interpolation="bilinear" if over else "nearest",
    )
    if over:
        axes.imshow(picture.mean(-1), cmap="gray", vmin=0, vmax=1, alpha=0.35, extent=extent)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(name)
    axes.set_xlabel(f"{values.min():.3g} to {values.max():.3g}", size=7, labelpad=2)
    no_frame(axes)


def _bars(axes: "Axes", classes: Sequence[tuple[str, float]]) -> None:
    places = np.arange(len(classes))
    axes.barh(places, [probability for _, probability in classes], color=TRAIN, height=0.6)
    axes.set_yticks(places, [shortened(name, _LONGEST_NAME) for name, _ in classes])
    axes.set(xlim=(0, 1), ylim=(max(len(classes), 4) - 0.4, -0.6))
    axes.set_xticks([0, 1], ["0", "1"])
    axes.set_title("classes")
    no_frame(axes)
