"""Images with a rectangle replaced by a constant or by noise."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn.augment._images import as_amount, as_fill, as_images, as_key, as_range, with_batch_shape, with_sharding_of
from jaxcnn.augment._rectangles import TRIES, random_offset, random_sides, rectangle_mask


def random_cutout(key: jax.Array, images: ArrayLike, *, size: IntPerAxis, fill: float = 0.0) -> jax.Array:
    """Fills a square of each image whose centre is uniform over the pixels; the part outside the image is cut off.

    Rows ``centre - size // 2`` to ``centre - size // 2 + size - 1``, and columns likewise.

    Args:
        key: determines the centres, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        size: height and width of the square, or one integer for both; 16 in the paper for CIFAR-10, 8 for CIFAR-100.
        fill: the value of the square. In the paper it is zero after normalisation, the mean before it.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or a negative size.
        TypeError: images that are not floating, a size that is not an integer, or an invalid key.

    Source: DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with cutout",
    section 3.2.

    >>> random_cutout(jax.random.key(0), jnp.ones((1, 4, 6, 1)), size=3)[0, :, :, 0]
    Array([[1., 1., 1., 1., 1., 1.],
           [1., 1., 1., 1., 1., 1.],
           [1., 0., 0., 0., 1., 1.],
           [1., 0., 0., 0., 1., 1.]], dtype=float32)
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    lengths = int_per_axis(size, 2, name="size", minimum=0)
    fill = as_fill(fill)
    ends = []
    for axis_key, axis, length in zip(jax.random.split(key), x.shape[1:3], lengths, strict=True):
        first = jax.random.randint(axis_key, (len(x),), 0, axis, jnp.int32) - length // 2
        ends += [first, first + length]
    return with_batch_shape(jnp.where(rectangle_mask(x, *ends), jnp.asarray(fill, x.dtype), x), batch_shape)


def random_erasing(
    key: jax.Array,
    images: ArrayLike,
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    fill: float | Literal["noise"] = "noise",
) -> jax.Array:
    """Fills a rectangle of random area and shape inside some of the images.

    The share of the image that it covers is uniform in ``area``; the logarithm of its height over its width is uniform
    in ``aspect``; its position is uniform. The first of ten draws that fits is used; where none fits, the image does
    not change.

    Args:
        key: determines images, rectangles and noise, together with the shape of the images.
        images: ``(*batch, height, width, channels)``, floating; in [0, 1] for noise.
        probability: that an image changes.
        area: least and largest share of the image.
        aspect: least and largest height over width.
        fill: a number, or ``"noise"``: each value of each channel uniform in [0, 1).

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        ValueError: a probability outside [0, 1], a range that is out of order or out of bounds, or another ``fill``.
        TypeError: images that are not floating, amounts that are not plain numbers, or an invalid key.

    Source: Zhong et al. (2020), "Random erasing data augmentation", algorithm 1; the logarithm (algorithm 1 draws the
    ratio itself, so tall more often than wide) and the ten draws as in torchvision's ``RandomErasing``.

    >>> options = {"probability": 1.0, "area": (0.25, 0.25), "aspect": (1.0, 1.0), "fill": 0.0}
    >>> random_erasing(jax.random.key(0), jnp.ones((1, 4, 4, 1)), **options)[0, :, :, 0]
    Array([[1., 1., 0., 0.],
           [1., 1., 0., 0.],
           [1., 1., 1., 1.],
           [1., 1., 1., 1.]], dtype=float32)
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    probability = as_amount(probability, name="probability", most=1)
    area, aspect = as_range(area, name="area", most=1), as_range(aspect, name="aspect")
    if isinstance(fill, str) and fill != "noise":
        raise ValueError(f"fill={fill!r} does not exist. Write a number, or 'noise'.")
    batch, height, width, _ = x.shape
    draw_key, noise_key = jax.random.split(key)
    draws = jax.random.uniform(draw_key, (5, batch, TRIES), jnp.float32)
    fits, part_height, part_width = random_sides(draws[:2], (height, width), area, aspect)
    top = random_offset(draws[2, :, 0], height - part_height)
    left = random_offset(draws[3, :, 0], width - part_width)
    changed = fits & (draws[4, :, 0] < probability)
    inside = rectangle_mask(x, top, top + jnp.where(changed, part_height, 0), left, left + part_width)
    if isinstance(fill, str):
        values = with_sharding_of(jax.random.uniform(noise_key, x.shape, jnp.float32), x).astype(x.dtype)
    else:
        values = jnp.asarray(as_fill(fill), x.dtype)
    return with_batch_shape(jnp.where(inside, values, x), batch_shape)
