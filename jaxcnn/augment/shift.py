"""Images moved by whole pixels, which copies pixels and blends none."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_images, beside, take_pixels
from jaxcnn.shapes.axes import IntPerAxis, int_per_axis
from jaxcnn.shapes.boundary import boundary_position
from jaxcnn.shapes.errors import check_choice
from jaxcnn.shapes.padding import PADDING_MODES


def random_shift(
    key: jax.Array, images: jax.Array, *, max_pixels: IntPerAxis, padding_mode: str = "zeros"
) -> jax.Array:
    """Moves each image by whole pixels of its own, rows and columns apart: ``y[r, c] = x[r - down, c - right]``.

    ``down`` and ``right`` are uniform over the whole numbers in ``[-max_pixels, max_pixels]``. This is the random crop
    of an image padded by ``max_pixels``, without the padded copy.

    Args:
        key: decides the shifts, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        max_pixels: an integer, or one for rows and one for columns.
        padding_mode: what comes in: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch, a negative ``max_pixels``, or a misspelt ``padding_mode``.
        TypeError: images that are not floating, or pixels that are not whole.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> row = jnp.arange(1.0, 6)[None, None, :, None]
    >>> rows = jnp.concatenate([row, row, row])
    >>> random_shift(jax.random.key(2), rows, max_pixels=(0, 2), padding_mode="reflect")[:, 0, :, 0]
    Array([[1., 2., 3., 4., 5.],
           [3., 4., 5., 4., 3.],
           [2., 1., 2., 3., 4.]], dtype=float32)
    """
    who = "random_shift"
    images = as_images(images, who=who)
    most = int_per_axis(max_pixels, 2, who=who, name="max_pixels", minimum=0)
    check_choice(padding_mode, PADDING_MODES, who=who, name="padding_mode")
    if most == (0, 0):
        return images
    batch, height, width, _ = images.shape
    rows, columns = (
        _shifted_positions(axis_key, batch, size, bound, padding_mode)
        for axis_key, size, bound in zip(jax.random.split(key), (height, width), most, strict=True)
    )
    rows, columns = beside(rows, images)[:, :, None], beside(columns, images)[:, None, :]
    index = (rows * width + columns).reshape(batch, height * width)
    y = take_pixels(images, index).reshape(images.shape)
    if padding_mode != "zeros":
        return y
    inside = (rows >= 0) & (columns >= 0)
    return jnp.where(inside[..., None], y, jnp.zeros((), y.dtype))


def _shifted_positions(key: jax.Array, batch: int, size: int, most: int, padding_mode: str) -> jax.Array:
    """Which position of an axis each output position of each image copies, ``(batch, size)``; -1 is none."""
    outside = range(-most, size + most)
    if padding_mode == "zeros":
        sources = [position if 0 <= position < size else -1 for position in outside]
    else:
        sources = [boundary_position(position, size, padding_mode) for position in outside]
    first = jax.random.randint(key, (batch, 1), 0, 2 * most + 1, jnp.int32)
    return jnp.array(sources, jnp.int32)[first + jnp.arange(size, dtype=jnp.int32)[None]]
