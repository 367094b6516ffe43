"""The receptive field of the central unit of each map, drawn over an image of the input's size."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn.models import Summary
from jaxcnn.shapes import ReceptiveField
from jaxcnn.vis._canvas import FAINT, INK, new_figure, no_frame, save_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 14  # the largest number of frames


def receptive_fields_figure(summary: Summary, *, image: ArrayLike | None = None) -> "Figure":
    """Draws the receptive field of the central unit of each map as a frame on an image.

    The maps are those of the model's ``features``, or its layers if it has none. Of several maps with receptive fields
    of the same size only the first is drawn, and at most 14 frames. Outside of the image a frame covers padding.

    Args:
        summary: of a model of images, from ``jaxcnn.summary``.
        image: ``(height, width, channels)`` of the input's size, uint8 or floats in [0, 1]; None draws a grid whose
            squares are 1/8 of the input.

    Raises:
        ValueError: an input or maps that are not images, or an ``image`` of another size.

    >>> from jaxcnn.models import create
    >>> from jaxcnn.models import summary
    >>> figure = receptive_fields_figure(summary(create("lenet5"), (1, 32, 32, 1)))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['c1  5', 's2  6', 'c3  14', 's4  16', 'c5  32']
    """
    if len(summary.input_shape) != 4:
        raise ValueError(f"input_shape={summary.input_shape} is not one batch of images.")
    height, width = summary.input_shape[1:3]
    frames = _frames(summary)
    background = _grid(height, width) if image is None else _checked(image, height, width)
    with style():
        from matplotlib import colormaps
        from matplotlib.patches import Rectangle

        figure = new_figure(7.2, 7.2 * 0.72)
        axes = figure.add_axes((0.02, 0.03, 0.7, 0.88))
        axes.imshow(background, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
        left, right, top, bottom = 0.0, float(width), 0.0, float(height)
        for index, (name, shape, field) in enumerate(frames):
            colour = colormaps["viridis"](0.92 * index / max(len(frames) - 1, 1))
            y, x = (o + j * (n // 2) for o, j, n in zip(field.offset, field.jump, shape, strict=True))
            high, wide = field.size
            axes.add_patch(Rectangle((x, y), wide, high, fill=False, edgecolor=colour, linewidth=1.6))
            left, right = min(left, x), max(right, x + wide)
            top, bottom = min(top, y), max(bottom, y + high)
            size = f"{high}" if high == wide else f"{high}\N{MULTIPLICATION SIGN}{wide}"
            place = 1 - (index + 0.5) / (_MOST + 1)
            axes.text(1.04, place, f"{name}  {size}", color=colour, transform=axes.transAxes, va="center", size=8)
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        axes.set_xticks([0, width], ["0", str(width)], color=FAINT)
        axes.set_yticks([0, height], ["0", str(height)], color=FAINT)
        no_frame(axes)
        figure.text(
            0.02,
            0.97,
            f"{summary.name}: receptive field of the central unit",
            weight="bold",
            size=9,
            color=INK,
            va="top",
        )
    return figure


def draw_receptive_fields(summary: Summary, path: str | os.PathLike[str], *, image: ArrayLike | None = None) -> None:
    """Writes the picture of ``receptive_fields_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        summary: of a model of images, from ``jaxcnn.summary``.
        path: of the file, a ``.pdf``, ``.png`` or ``.svg``.
        image: as in ``receptive_fields_figure``.

    Raises:
        ValueError: arguments for which ``receptive_fields_figure`` raises, or an unknown suffix.

    >>> from jaxcnn.models import create
    >>> from jaxcnn.models import summary
    >>> draw_receptive_fields(summary(create("lenet5"), (1, 32, 32, 1)), "fields.tiff")
    Traceback (most recent call last):
    ValueError: draw_receptive_fields: a picture is written as .pdf, .png or .svg, but the path is fields.tiff.
    """
    save_figure(receptive_fields_figure(summary, image=image), Path(path))


def _frames(summary: Summary) -> list[tuple[str, Sequence[int], ReceptiveField]]:
    """Name, spatial shape and receptive field of the maps to draw."""
    named = [(each.name, each.shape, each.receptive_field) for each in summary.maps]
    listed = named or [(layer.path, layer.output_shape, layer.receptive_field) for layer in summary.layers]
    frames: list[tuple[str, Sequence[int], ReceptiveField]] = []
    for name, shape, field in listed:
        if field is not None and len(shape) == 4 and field.size not in [seen.size for _, _, seen in frames]:
            frames.append((name, shape[1:3], field))
    if not frames:
        raise ValueError(f"{summary.name} has no layer with a map of the image.")
    if len(frames) > _MOST:
        chosen = np.linspace(0, len(frames) - 1, _MOST).round().astype(int)
        frames = [frames[index] for index in chosen]
    return frames


def _grid(height: int, width: int) -> np.ndarray:
    """A pale grid of 8 x 8 squares."""
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return np.where((rows[:, None] + columns) % 2, 0.97, 0.90)


def _checked(image: ArrayLike, height: int, width: int) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[:2] != (height, width) or image.shape[2] not in (1, 3):
        raise ValueError(
            f"image must have the shape ({height}, {width}, 1 or 3) of the summary's input, "
            f"but image.shape={image.shape}."
        )
    if image.dtype == np.uint8:
        image = image.astype(np.float32) / 255
    return image[..., 0] if image.shape[2] == 1 else image
