"""Parts of images: at random places in their own size, or of random size and shape resized to one."""

import math

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_images, as_range, beside, take_pixels
from jaxcnn.functional.dtypes import accumulator_dtype
from jaxcnn.shapes.axes import IntPerAxis, int_per_axis
from jaxcnn.shapes.boundary import boundary_position
from jaxcnn.shapes.errors import ShapeError, check_choice
from jaxcnn.shapes.padding import PADDING_MODES

_TRIES = 10


def random_crop(
    key: jax.Array, images: jax.Array, *, size: IntPerAxis, padding: IntPerAxis = 0, padding_mode: str = "zeros"
) -> jax.Array:
    """Cuts a window out of each padded image: ``y[r, c] = padded(x)[top + r, left + c]``, without the padded copy.

    ``top`` and ``left`` are uniform over all places at which the window lies within the padded image.

    Args:
        key: decides the places, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        size: height and width of the window, or one integer for both.
        padding: pixels added before and after the rows, and the columns; or one integer for both.
        padding_mode: what is added: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.

    Returns:
        ``(batch, *size, channels)`` of the same dtype.

    Raises:
        ShapeError: images that are not a batch, a window larger than the padded image, or a misspelt ``padding_mode``.
        TypeError: images that are not floating, or pixels that are not whole.

    Source: He et al. (2016), "Deep residual learning for image recognition", section 4.2 (32x32 padded by 4).

    >>> row = jnp.arange(1.0, 6)[None, None, :, None]
    >>> random_crop(jax.random.key(0), jnp.concatenate([row, row, row]), size=(1, 3), padding=(0, 1))[:, 0, :, 0]
    Array([[2., 3., 4.],
           [2., 3., 4.],
           [1., 2., 3.]], dtype=float32)
    """
    who = "random_crop"
    images = as_images(images, who=who)
    batch, height, width, channels = images.shape
    window = int_per_axis(size, 2, who=who, name="size")
    pads = int_per_axis(padding, 2, who=who, name="padding", minimum=0)
    check_choice(padding_mode, PADDING_MODES, who=who, name="padding_mode")
    room = [axis + 2 * pad - length for axis, pad, length in zip((height, width), pads, window, strict=True)]
    if min(room) < 0:
        raise ShapeError(
            f"{who}: size={window} is larger than images of {height}x{width} padded by {pads}. More padding?"
        )
    rows, columns = (
        _cut_positions(axis_key, batch, axis, pad, length, padding_mode)
        for axis_key, axis, pad, length in zip(jax.random.split(key), (height, width), pads, window, strict=True)
    )
    rows, columns = beside(rows, images)[:, :, None], beside(columns, images)[:, None, :]
    index = (rows * width + columns).reshape(batch, window[0] * window[1])
    y = take_pixels(images, index).reshape(batch, *window, channels)
    inside = (rows >= 0) & (columns >= 0)
    return jnp.where(inside[..., None], y, jnp.zeros((), y.dtype)) if padding_mode == "zeros" and any(pads) else y


def _cut_positions(key: jax.Array, batch: int, size: int, pad: int, length: int, padding_mode: str) -> jax.Array:
    """Which position of an axis each position of each window copies, ``(batch, length)``; -1 is none."""
    padded = range(-pad, size + pad)
    if padding_mode == "zeros":
        sources = [position if 0 <= position < size else -1 for position in padded]
    else:
        sources = [boundary_position(position, size, padding_mode) for position in padded]
    first = jax.random.randint(key, (batch, 1), 0, len(sources) - length + 1, jnp.int32)
    return jnp.array(sources, jnp.int32)[first + jnp.arange(length, dtype=jnp.int32)[None]]


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    *,
    size: IntPerAxis,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """Cuts a part of random area and shape out of each image and resizes it: Inception's training crop.

    The part covers a share of the image uniform in ``area``; its width over height is uniform in its logarithm in
    ``aspect``; its place is uniform. Of ten such draws the first that fits is taken, and if none does, the largest
    central part whose shape is allowed. Resizing is bilinear, and when it shrinks each pixel is an average over those
    it stands for, which is Pillow's ``resize(box=..., resample=BILINEAR)``.

    Args:
        key: decides the parts, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        size: height and width of the result, or one integer for both.
        area: least and largest share of the image.
        aspect: least and largest width over height.

    Returns:
        ``(batch, *size, channels)`` of the same dtype.

    Raises:
        ShapeError: images that are not a batch, a size under 1, or ends that are out of order or out of bounds.
        TypeError: images that are not floating, or amounts that are not plain numbers.

    Source: Szegedy et al. (2015), "Going deeper with convolutions", section 6; the logarithm, the ten draws and what
    follows them as in torchvision's ``RandomResizedCrop``.

    >>> images = jnp.broadcast_to(jnp.arange(8.0)[None, None, :, None], (3, 8, 8, 1))
    >>> y = random_resized_crop(jax.random.key(0), images, size=4, area=(0.25, 0.25), aspect=(1, 1))
    >>> y[:, 0, :, 0]  # four pixels of eight, at different places
    Array([[0., 1., 2., 3.],
           [3., 4., 5., 6.],
           [2., 3., 4., 5.]], dtype=float32)
    """
    who = "random_resized_crop"
    images = as_images(images, who=who)
    window = int_per_axis(size, 2, who=who, name="size")
    area = as_range(area, who=who, name="area", most=1)
    aspect = as_range(aspect, who=who, name="aspect")
    batch, height, width, _ = images.shape
    top, left, high, wide = (
        beside(numbers, images) for numbers in _draw_parts(key, batch, (height, width), area, aspect)
    )
    dtype = accumulator_dtype(images.dtype)
    by_row = _resize_weights(top.astype(dtype), high.astype(dtype), height, window[0])
    by_column = _resize_weights(left.astype(dtype), wide.astype(dtype), width, window[1])
    exact = jax.lax.Precision.HIGHEST
    y = jnp.einsum("brq,bqwc->brwc", by_row, images.astype(dtype), precision=exact)
    return jnp.einsum("bsw,brwc->brsc", by_column, y, precision=exact).astype(images.dtype)


def _draw_parts(
    key: jax.Array, batch: int, size: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """First row, first column, height and width of each part in whole pixels, each ``(batch,)``."""
    height, width = size
    draws = jax.random.uniform(key, (4, batch, _TRIES), jnp.float32)
    covered = height * width * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = jnp.exp(low + (high - low) * draws[1])
    wide, tall = jnp.round(jnp.sqrt(covered * ratio)), jnp.round(jnp.sqrt(covered / ratio))
    fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
    first = jnp.argmax(fits, axis=1)[:, None]
    # The central part where nothing fits: the whole image, narrowed to the nearest shape that is allowed.
    shape = min(max(width / height, aspect[0]), aspect[1])
    whole = (min(height, max(1, round(width / shape))), min(width, max(1, round(height * shape))))

    def chosen(values: jax.Array, otherwise: float) -> jax.Array:
        return jnp.where(fits.any(axis=1), jnp.take_along_axis(values, first, axis=1)[:, 0], otherwise)

    tall, wide = chosen(tall, whole[0]), chosen(wide, whole[1])
    # A draw just under 1 can round up to 1 times the room, which floor would turn into one place too many.
    top, left = (
        jnp.where(
            fits.any(axis=1),
            jnp.minimum(jnp.floor(draws[axis, :, 0] * (room + 1)), room),
            jnp.round(room / 2),
        )
        for axis, room in ((2, height - tall), (3, width - wide))
    )
    return top, left, tall, wide


def _resize_weights(first: jax.Array, length: jax.Array, size: int, result: int) -> jax.Array:
    """``(batch, result, size)``: how much of each position of an axis is in each position of the resized part."""
    scale = (length / result)[:, None, None]
    first, last = first[:, None, None], (first + length)[:, None, None]
    centre = first + scale * (jnp.arange(result, dtype=first.dtype) + 0.5)[None, :, None]
    pixel = (jnp.arange(size, dtype=first.dtype) + 0.5)[None, None, :]
    weights = jnp.maximum(0, 1 - jnp.abs(pixel - centre) / jnp.maximum(scale, 1))
    weights = jnp.where((pixel > first) & (pixel < last), weights, 0)
    return weights / weights.sum(-1, keepdims=True)
