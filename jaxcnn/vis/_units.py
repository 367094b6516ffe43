"""Sheets of images to which the units of a layer respond, of kernels, and of the maps of a layer."""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from jaxcnn.vis._canvas import FAINT, INK, new_figure, save_figure, style
from jaxcnn.vis._contact_sheet import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE, _GAP, _NAME = 0.62, 0.05, 1.15  # inches


def draw_units(
    columns: Sequence[tuple[str, ArrayLike]], names: Sequence[str], path: str | os.PathLike[str], *, title: str
) -> None:
    """Writes the picture of ``units_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        columns: as in ``units_figure``.
        names: as in ``units_figure``.
        path: of the file.
        title: of the picture.

    Raises:
        ValueError: arguments for which ``units_figure`` raises, or an unknown suffix.

    >>> draw_units([("patches", np.zeros((1, 2, 4, 4, 1)))], ["0"], "units.tiff", title="")
    Traceback (most recent call last):
    ValueError: draw_units: a picture is written as .pdf, .png or .svg, but the path is units.tiff.
    """
    save_figure(units_figure(columns, names, title=title), path)


def units_figure(columns: Sequence[tuple[str, ArrayLike]], names: Sequence[str], *, title: str) -> "Figure":
    """Draws for each unit a row of images, in groups: such as its top patches and images made for it.

    Args:
        columns: for each group of columns a heading and the images, ``(units, images, height, width, 1 or 3)``; uint8,
            or floats, of which each image is scaled from its least to its greatest value.
        names: of the units, which may have several lines.
        title: of the picture.

    Raises:
        ValueError: no images, images of another shape, or another number of names.

    >>> figure = units_figure([("patches", np.zeros((2, 3, 4, 4, 1)))], ["a", "b"], title="conv1")
    >>> len(figure.axes[0].images)
    6
    """
    groups = [(heading, np.asarray(images)) for heading, images in columns]
    if not groups or not all(images.size for _, images in groups):
        raise ValueError("there are no images to draw.")
    for heading, images in groups:
        if images.ndim != 5 or images.shape[-1] not in (1, 3) or len(images) != len(names):
            raise ValueError(
                f"{heading!r} must have the shape ({len(names)} units, images, height, width, 1 or 3), "
                f"not {images.shape}."
            )
    widths = [images.shape[1] * (_TILE + _GAP) + 3 * _GAP for _, images in groups]
    width, height = _NAME + sum(widths) + 0.1, len(names) * (_TILE + _GAP) + 0.65
    with style():
        figure = new_figure(width, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        left, top = _NAME, height - 0.6
        for (heading, images), wide in zip(groups, widths, strict=True):
            axes.text(left, top + 0.06, heading, size=7.5, color=FAINT)
            for row, unit in enumerate(images):
                for column, image in enumerate(unit):
                    x, y = left + column * (_TILE + _GAP), top - row * (_TILE + _GAP)
                    shades = _scaled(image)
                    axes.imshow(
                        shades[..., 0] if shades.shape[-1] == 1 else shades,
                        extent=(x, x + _TILE, y - _TILE, y),
                        cmap="gray",
                        vmin=0,
                        vmax=1,
                    )
            left += wide
        for row, name in enumerate(names):
            axes.text(0.1, top - row * (_TILE + _GAP) - _TILE / 2, name, size=7, va="center")
        axes.set(xlim=(0, width), ylim=(0, height), aspect="auto")
        figure.text(0.1 / width, 1 - 0.1 / height, title, size=9, weight="bold", color=INK, va="top")
    return figure


def _scaled(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1]."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / 255
    low, high = float(image.min()), float(image.max())
    return (image.astype(np.float32) - low) / (high - low or 1.0)


def draw_kernels(kernel: ArrayLike, path: str | os.PathLike[str], *, title: str) -> None:
    """Writes the picture of ``kernels_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        kernel: as in ``kernels_figure``.
        path: of the file.
        title: of the picture.

    Raises:
        ValueError: a kernel that is not of images, or an unknown suffix.

    >>> draw_kernels(np.zeros((3, 3, 1, 2)), "kernels.tiff", title="")
    Traceback (most recent call last):
    ValueError: draw_kernels: a picture is written as .pdf, .png or .svg, but the path is kernels.tiff.
    """
    save_figure(kernels_figure(kernel, title=title), path)


def kernels_figure(kernel: ArrayLike, *, title: str) -> "Figure":
    """Draws the kernel of a convolution of images: one tile for each output, or for each input and output.

    Kernels that read three channels are drawn in colour, others with a tile for each pair ``input>output``. Each tile
    is scaled by its own greatest absolute weight, with 0 at mid-grey, so tiles show shapes and not sizes.

    Args:
        kernel: ``(height, width, in_channels, out_channels)``.
        title: of the sheet, to which the scaling is added.

    Raises:
        ValueError: a kernel of another shape, or without weights.

    >>> len(kernels_figure(np.ones((3, 3, 2, 4)), title="conv1").axes[0].images)
    8
    """
    weights = np.asarray(kernel, np.float32)
    if weights.ndim != 4 or not weights.size:
        raise ValueError(f"kernel must have the shape (height, width, in, out), not {weights.shape}.")
    high, wide, inputs, outputs = weights.shape
    colour = inputs == 3
    if colour:
        tiles, names = np.moveaxis(weights, -1, 0), [str(index) for index in range(outputs)]
    else:
        tiles = weights.reshape(high, wide, inputs * outputs).transpose(2, 0, 1)[..., None]
        names = [f"{one}>{two}" if inputs > 1 else str(two) for one in range(inputs) for two in range(outputs)]
    most = np.abs(tiles).max((1, 2, 3), keepdims=True)
    columns = outputs if not colour and inputs > 1 and outputs <= 32 else min(len(tiles), 16)
    return contact_sheet(
        0.5 + 0.5 * tiles / np.where(most == 0, 1, most),
        names,
        columns=columns,
        title=f"{title}; each to its own scale",
    )


def draw_feature_maps(maps: ArrayLike, path: str | os.PathLike[str], *, title: str) -> None:
    """Writes the picture of ``feature_maps_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        maps: as in ``feature_maps_figure``.
        path: of the file.
        title: of the picture.

    Raises:
        ValueError: maps of another rank, or an unknown suffix.

    >>> draw_feature_maps(np.zeros((3, 3, 2)), "maps.tiff", title="")
    Traceback (most recent call last):
    ValueError: draw_feature_maps: a picture is written as .pdf, .png or .svg, but the path is maps.tiff.
    """
    save_figure(feature_maps_figure(maps, title=title), path)


def feature_maps_figure(maps: ArrayLike, *, title: str) -> "Figure":
    """Draws the channels of a layer for one image, each with its greatest value.

    Each map is scaled from its least to its greatest value; a map that is constant is black.

    Args:
        maps: ``(height, width, channels)``, such as an entry of ``attribution.layer_outputs``, without its batch axis.
        title: of the sheet.

    Raises:
        ValueError: maps of another rank, or without entries.

    >>> figure = feature_maps_figure(np.eye(4)[..., None], title="conv1")
    >>> figure.axes[0].texts[0].get_text()
    '0: 1'
    """
    values = np.asarray(maps, np.float32)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"maps must have the shape (height, width, channels), not {values.shape}.")
    tiles = np.moveaxis(values, -1, 0)[..., None]
    names = [f"{index}: {tile.max():.2g}" for index, tile in enumerate(tiles)]
    columns = min(len(tiles), max(4, math.ceil(math.sqrt(2 * len(tiles)))))
    return contact_sheet(np.stack([_scaled(tile) for tile in tiles]), names, columns=columns, title=title)
