"""Parts of images: of a given size at random positions, or of random size and shape, resized."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, accumulator_dtype
from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import PADDING_MODES, PaddingMode
from jaxcnn.augment._images import as_images, as_key, as_range, with_batch_shape, with_sharding_of
from jaxcnn.augment._rectangles import TRIES, random_offset, random_sides
from jaxcnn.augment._shift import random_windows


def random_crop(
    key: jax.Array,
    images: ArrayLike,
    *,
    size: IntPerAxis,
    padding: IntPerAxis = 0,
    padding_mode: PaddingMode = "zeros",
) -> jax.Array:
    """Crops each padded image at a random position: ``y[r, c] = padded(x)[top + r, left + c]``.

    ``top`` and ``left`` are uniform over all positions at which the crop is inside the padded image. The padded image
    is not computed.

    Args:
        key: determines the positions, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        size: height and width of the crop, or one integer for both.
        padding: pixels added before and after the rows and the columns, or one integer for both.
        padding_mode: what is added: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.

    Returns:
        ``(*batch, *size, channels)``, of the same dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or a crop larger than the padded image.
        ValueError: a ``padding_mode`` that does not exist.
        TypeError: images that are not floating, pixels that are not integers, or an invalid key.

    Source: He et al. (2016), "Deep residual learning for image recognition", section 4.2 (32x32 padded by 4).

    >>> row = jnp.arange(1.0, 6)[None, None, :, None]
    >>> random_crop(jax.random.key(0), jnp.concatenate([row, row, row]), size=(1, 3), padding=(0, 1))[:, 0, :, 0]
    Array([[2., 3., 4.],
           [2., 3., 4.],
           [1., 2., 3.]], dtype=float32)
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    window = int_per_axis(size, 2, name="size")
    pads = int_per_axis(padding, 2, name="padding", minimum=0)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    _, height, width, _ = x.shape
    if window[0] > height + 2 * pads[0] or window[1] > width + 2 * pads[1]:
        raise ShapeError(f"size={window} is larger than images of {height}x{width} padded by {pads}. Increase padding?")
    return with_batch_shape(random_windows(key, x, window, pads, padding_mode), batch_shape)


def random_resized_crop(
    key: jax.Array,
    images: ArrayLike,
    *,
    size: IntPerAxis,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """Crops a part of random area and shape from each image and resizes it, as in the training of Inception.

    The share of the image that the part covers is uniform in ``area``; the logarithm of its width over its height is
    uniform in ``aspect``; its position is uniform. The first of ten draws that fits is used, and where none fits, the
    largest central part whose shape is allowed. Resizing is bilinear; where it shrinks, each pixel is an average over
    the pixels that it covers, as in Pillow's ``crop(box).resize(..., BILINEAR)``.

    Args:
        key: determines the parts, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        size: height and width of the result, or one integer for both.
        area: least and largest share of the image.
        aspect: least and largest width over height.

    Returns:
        ``(*batch, *size, channels)``, of the same dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or a size under 1.
        ValueError: a range that is out of order or out of bounds.
        TypeError: images that are not floating, ranges that are not pairs of plain numbers, or an invalid key.

    Source: Szegedy et al. (2015), "Going deeper with convolutions", section 6; the logarithm, the ten draws and the
    central part as in torchvision's ``RandomResizedCrop``.

    >>> images = jnp.broadcast_to(jnp.arange(8.0)[None, None, :, None], (3, 8, 8, 1))
    >>> y = random_resized_crop(jax.random.key(0), images, size=4, area=(0.25, 0.25), aspect=(1, 1))
    >>> y[:, 0, :, 0]  # four of eight columns, at different positions
    Array([[0., 1., 2., 3.],
           [3., 4., 5., 6.],
           [2., 3., 4., 5.]], dtype=float32)
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    window = int_per_axis(size, 2, name="size")
    area = as_range(area, name="area", most=1)
    aspect = as_range(aspect, name="aspect")
    batch, height, width, _ = x.shape
    dtype = accumulator_dtype(x.dtype)
    top, left, part_height, part_width = (
        with_sharding_of(values, x).astype(dtype) for values in _random_parts(key, batch, (height, width), area, aspect)
    )
    by_row = _resize_weights(top, part_height, height, window[0])
    by_column = _resize_weights(left, part_width, width, window[1])
    exact = jax.lax.Precision.HIGHEST
    y = jnp.einsum("brq,bqwc->brwc", by_row, x.astype(dtype), precision=exact)
    y = jnp.einsum("bsw,brwc->brsc", by_column, y, precision=exact).astype(x.dtype)
    return with_batch_shape(y, batch_shape)


def _random_parts(
    key: jax.Array, batch: int, size: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """First row, first column, height and width of each part in whole pixels, each ``(n,)``."""
    height, width = size
    draws = jax.random.uniform(key, (4, batch, TRIES), jnp.float32)
    fits, part_width, part_height = random_sides(draws[:2], (width, height), area, aspect)
    # The central part where nothing fits: the whole image, narrowed to the nearest allowed shape.
    shape = min(max(width / height, aspect[0]), aspect[1])
    part_height = jnp.where(fits, part_height, min(height, max(1, round(width / shape))))
    part_width = jnp.where(fits, part_width, min(width, max(1, round(height * shape))))
    top, left = (
        jnp.where(fits, random_offset(draws[axis, :, 0], room), jnp.round(room / 2))
        for axis, room in ((2, height - part_height), (3, width - part_width))
    )
    return top, left, part_height, part_width


def _resize_weights(first: jax.Array, length: jax.Array, size: int, result: int) -> jax.Array:
    """``(n, result, size)``: the weight of each position of an axis in each position of the resized part."""
    scale = (length / result)[:, None, None]
    first, last = first[:, None, None], (first + length)[:, None, None]
    centre = first + scale * (jnp.arange(result, dtype=first.dtype) + 0.5)[None, :, None]
    pixel = (jnp.arange(size, dtype=first.dtype) + 0.5)[None, None, :]
    weights = jnp.maximum(0, 1 - jnp.abs(pixel - centre) / jnp.maximum(scale, 1))
    weights = jnp.where((pixel > first) & (pixel < last), weights, 0)
    return weights / weights.sum(-1, keepdims=True)
