"""A picture of all augmentations, with one row of images for each."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn.augment import (
    alternating_flip,
    color_axes,
    cutmix,
    mixup,
    rand_augment,
    random_affine,
    random_color,
    random_crop,
    random_cutout,
    random_elastic,
    random_erasing,
    random_flip,
    random_pca_noise,
    random_resized_crop,
    random_shift,
    ten_crop,
    trivial_augment,
)
from jaxcnn.vis._canvas import INK, new_figure, save_figure, style, suffix_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Augment = Callable[[jax.Array, jax.Array], jax.Array]

_WIDTH = 7.2  # inches; the width of a page's text
_LEFT, _RIGHT, _TOP = 1.45, 0.1, 0.4  # for the names of the rows; nothing; the title
_GAP = 0.05
_LARGEST_TILE = 0.8


def augmentations(images: ArrayLike, *, own: Augment | None = None) -> dict[str, Augment]:
    """The functions of ``jaxcnn.augment`` by name, with options for the size of the images, as key, images -> images.

    Args:
        images: ``(batch, height, width, channels)``, floating, in [0, 1].
        own: an experiment's augmentation, which is listed first.

    >>> list(augmentations(jnp.zeros((2, 8, 8, 1))))[:3]
    ['none', 'random_flip', 'alternating_flip']
    """
    images = as_array(images, name="images")
    size = images.shape[1], images.shape[2]
    short = min(size)
    rows: dict[str, Augment] = {"none": lambda key, x: x}
    if own is not None:
        rows["the experiment's"] = own
    bound = functools.partial
    rows |= {
        "random_flip": random_flip,
        "alternating_flip": lambda key, x: alternating_flip(key, x, jnp.arange(len(x)), epoch=0),
        "random_shift": bound(random_shift, max_pixels=max(short // 8, 1)),
        "random_crop": bound(random_crop, size=size, padding=max(short // 8, 1), padding_mode="reflect"),
        "random_resized_crop": bound(random_resized_crop, size=size, area=(0.25, 1.0)),
        "random_affine": bound(random_affine, shift=short / 16, rotate=20.0, scale=0.2, shear=10.0),
        "random_elastic": bound(random_elastic, alpha=short * 34 / 28, sigma=max(short / 7, 0.5)),
        "random_color": bound(random_color, brightness=0.4, contrast=0.4),
        "random_pca_noise": lambda key, x: random_pca_noise(key, x, color_axes(x), strength=0.5),
        "random_cutout": bound(random_cutout, size=short // 2, fill=0.5),
        "random_erasing": bound(random_erasing, probability=1.0),
        "mixup": lambda key, x: mixup(key, x, jnp.ones((len(x), 1)), alpha=1.0)[0],
        "cutmix": lambda key, x: cutmix(key, x, jnp.ones((len(x), 1)))[0],
        "rand_augment": bound(rand_augment, magnitude=14),
        "trivial_augment": trivial_augment,
        "ten_crop": lambda key, x: ten_crop(x[:1], size=max(short * 3 // 4, 1))[: len(x), 0],
    }
    if images.shape[-1] == 3:
        rows["random_color"] = bound(random_color, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    return rows


def draw_augmentations(
    images: ArrayLike, path: str | os.PathLike[str], *, title: str, own: Augment | None = None, seed: int = 0
) -> None:
    """Writes the picture of ``augmentations_figure`` atomically, as PNG, PDF or SVG by the suffix of the path.

    Args:
        images: as in ``augmentations_figure``.
        path: of the file.
        title: of the picture.
        own: as in ``augmentations``.
        seed: of the random draws.

    Raises:
        ValueError: images of another shape, or an unknown suffix.

    >>> draw_augmentations(jnp.zeros((4, 8, 8, 1)), "augmentations.tiff", title="Digits")
    Traceback (most recent call last):
    ValueError: draw_augmentations: a picture is written as .pdf, .png or .svg, but the path is augmentations.tiff.
    """
    suffix_of(path)  # refused before the augmentations are computed
    figure = augmentations_figure(images, augmentations(images, own=own), title=title, seed=seed)
    save_figure(figure, path)


def augmentations_figure(images: ArrayLike, rows: Mapping[str, Augment], *, title: str, seed: int = 0) -> "Figure":
    """Draws the augmented images, with one row for each augmentation; values outside [0, 1] are clipped.

    Args:
        images: ``(n, height, width, 1 or 3)``, floating, in [0, 1].
        rows: the augmentations by name.
        title: of the picture.
        seed: of the random draws.

    Raises:
        ValueError: images of another shape, or no row.

    >>> images = jnp.zeros((4, 8, 8, 1))
    >>> len(augmentations_figure(images, {"none": lambda key, x: x}, title="One").axes[0].images)
    4
    """
    images = as_array(images, name="images")
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(f"images must have the shape (n, height, width, 1 or 3), but images.shape={images.shape}.")
    if not rows:
        raise ValueError("there is no augmentation to draw.")
    tile = min(_LARGEST_TILE, (_WIDTH - _LEFT - _RIGHT) / len(images) - _GAP)
    high = tile * images.shape[1] / images.shape[2]
    height = _TOP + len(rows) * (high + _GAP) + 0.1
    with style():
        figure = new_figure(_WIDTH, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for row, (name, function) in enumerate(rows.items()):
            made = jax.jit(function)(jax.random.fold_in(jax.random.key(seed), row), images)
            above = height - _TOP - row * (high + _GAP)
            axes.text(_LEFT - 0.08, above - high / 2, name, ha="right", va="center", size=7)
            for column, image in enumerate(np.clip(np.asarray(made, np.float32), 0, 1)):
                left = _LEFT + column * (tile + _GAP)
                shades = image[..., 0] if image.shape[-1] == 1 else image
                axes.imshow(shades, extent=(left, left + tile, above - high, above), cmap="gray", vmin=0, vmax=1)
        # imshow sets the limits to those of the last image.
        axes.set(xlim=(0, _WIDTH), ylim=(0, height), aspect="auto")
        figure.text(0.1 / _WIDTH, 1 - 0.12 / height, title, ha="left", va="top", size=9, weight="bold", color=INK)
    return figure
