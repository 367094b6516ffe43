"""Images moved by whole pixels: pixels are copied, not interpolated."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn._errors import check_choice
from jaxcnn._geometry import PADDING_MODES, PaddingMode, boundary_position
from jaxcnn.augment._images import as_images, as_key, take_pixels, with_batch_shape, with_sharding_of


def random_shift(
    key: jax.Array, images: ArrayLike, *, max_pixels: IntPerAxis, padding_mode: PaddingMode = "zeros"
) -> jax.Array:
    """Moves each image by a random number of rows and of columns: ``y[r, c] = x[r - down, c - right]``.

    ``down`` and ``right`` are independent, each uniform over the integers in ``[-max_pixels, max_pixels]``. The result
    is that of padding each image by ``max_pixels`` and cropping it at a random position, without the padded copy.

    Args:
        key: determines the shifts, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        max_pixels: an integer, or one for rows and one for columns.
        padding_mode: what enters from outside: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or a negative ``max_pixels``.
        ValueError: a ``padding_mode`` that does not exist.
        TypeError: images that are not floating, pixels that are not integers, or an invalid key.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> row = jnp.arange(1.0, 6)[None, None, :, None]
    >>> rows = jnp.concatenate([row, row, row])
    >>> random_shift(jax.random.key(2), rows, max_pixels=(0, 2), padding_mode="reflect")[:, 0, :, 0]
    Array([[1., 2., 3., 4., 5.],
           [3., 4., 5., 4., 3.],
           [2., 1., 2., 3., 4.]], dtype=float32)
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    pads = int_per_axis(max_pixels, 2, name="max_pixels", minimum=0)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    if pads == (0, 0):
        return with_batch_shape(x, batch_shape)
    return with_batch_shape(random_windows(key, x, x.shape[1:3], pads, padding_mode), batch_shape)


def random_windows(
    key: jax.Array, x: jax.Array, window: tuple[int, ...], pads: tuple[int, ...], padding_mode: str
) -> jax.Array:
    """A window of each padded image at a random position, ``(n, *window, channels)``."""
    batch, height, width, channels = x.shape
    rows, columns = (
        _source_positions(axis_key, batch, size, pad, length, padding_mode)
        for axis_key, size, pad, length in zip(jax.random.split(key), (height, width), pads, window, strict=True)
    )
    rows, columns = with_sharding_of(rows, x)[:, :, None], with_sharding_of(columns, x)[:, None, :]
    index = (rows * width + columns).reshape(batch, window[0] * window[1])
    y = take_pixels(x, index).reshape(batch, *window, channels)
    if padding_mode != "zeros" or not any(pads):
        return y
    inside = (rows >= 0) & (columns >= 0)
    return jnp.where(inside[..., None], y, jnp.zeros((), y.dtype))


def _source_positions(key: jax.Array, batch: int, size: int, pad: int, length: int, padding_mode: str) -> jax.Array:
    """The position of an axis that each position of each window copies, ``(n, length)``; -1 is a zero."""
    padded = range(-pad, size + pad)
    if padding_mode == "zeros":
        sources = [position if 0 <= position < size else -1 for position in padded]
    else:
        sources = [boundary_position(position, size, padding_mode) for position in padded]
    first = jax.random.randint(key, (batch, 1), 0, len(sources) - length + 1, jnp.int32)
    return jnp.array(sources, jnp.int32)[first + jnp.arange(length, dtype=jnp.int32)[None]]
