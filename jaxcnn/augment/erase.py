"""Images with a rectangle missing."""

import math

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_amount, as_images, as_range, beside
from jaxcnn.shapes.axes import IntPerAxis, int_per_axis
from jaxcnn.shapes.errors import ShapeError

_TRIES = 10


def random_cutout(key: jax.Array, images: jax.Array, *, size: IntPerAxis, fill: float = 0.0) -> jax.Array:
    """Fills a square of each image whose centre is uniform over its pixels; what lies outside the image is lost.

    Rows ``centre - size // 2`` to ``centre - size // 2 + size - 1`` and columns alike, so near an edge less is filled.

    Args:
        key: decides the centres, together with the number of images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        size: height and width of the square, or one integer for both; 16 in the paper for CIFAR-10, 8 for CIFAR-100.
        fill: what is put there; the paper's zero comes after normalisation, which is the mean before it.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch, or a negative size.
        TypeError: images that are not floating, or a size that is not whole.

    Source: DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with cutout",
    section 3.2.

    >>> random_cutout(jax.random.key(0), jnp.ones((1, 4, 6, 1)), size=3)[0, :, :, 0]
    Array([[1., 1., 1., 1., 1., 1.],
           [1., 1., 1., 1., 1., 1.],
           [1., 0., 0., 0., 1., 1.],
           [1., 0., 0., 0., 1., 1.]], dtype=float32)
    """
    who = "random_cutout"
    images = as_images(images, who=who)
    lengths = int_per_axis(size, 2, who=who, name="size", minimum=0)
    first = [
        jax.random.randint(axis_key, (len(images),), 0, axis, jnp.int32) - length // 2
        for axis_key, axis, length in zip(jax.random.split(key), images.shape[1:3], lengths, strict=True)
    ]
    last = [start + length for start, length in zip(first, lengths, strict=True)]
    return jnp.where(rectangle(images, first[0], last[0], first[1], last[1]), jnp.asarray(fill, images.dtype), images)


def random_erasing(
    key: jax.Array,
    images: jax.Array,
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    fill: float | str = "noise",
) -> jax.Array:
    """Fills a rectangle of random area and shape that lies wholly within the image, of some of the images.

    It covers a share of the image uniform in ``area``; its height over width is uniform in its logarithm in
    ``aspect``; its place is uniform. Of ten such draws the first that fits is taken; where none does, the image stays.

    Args:
        key: decides images, rectangles and noise, together with the shape of the images.
        images: ``(batch, height, width, channels)``, floating, in [0, 1] if they are to be filled with noise.
        probability: of an image being changed.
        area: least and largest share of the image.
        aspect: least and largest height over width.
        fill: a number, or ``"noise"``: each value of each channel uniform in [0, 1).

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch, a probability outside [0, 1], ends that are out of order or out of
            bounds, or another ``fill``.
        TypeError: images that are not floating, or amounts that are not plain numbers.

    Source: Zhong et al. (2020), "Random erasing data augmentation", algorithm 1; the logarithm (algorithm 1 draws the
    ratio itself, so tall more often than wide) and the ten draws as in torchvision's ``RandomErasing``.

    >>> options = {"probability": 1.0, "area": (0.25, 0.25), "aspect": (1.0, 1.0), "fill": 0.0}
    >>> random_erasing(jax.random.key(0), jnp.ones((1, 4, 4, 1)), **options)[0, :, :, 0]
    Array([[1., 1., 0., 0.],
           [1., 1., 0., 0.],
           [1., 1., 1., 1.],
           [1., 1., 1., 1.]], dtype=float32)
    """
    who = "random_erasing"
    images = as_images(images, who=who)
    probability = as_amount(probability, who=who, name="probability", most=1)
    area, aspect = as_range(area, who=who, name="area", most=1), as_range(aspect, who=who, name="aspect")
    if isinstance(fill, str) and fill != "noise":
        raise ShapeError(f"{who}: fill={fill!r} is not known. Write a number, or 'noise'.")
    batch, height, width, _ = images.shape
    draw_key, noise_key = jax.random.split(key)
    draws = jax.random.uniform(draw_key, (5, batch, _TRIES), jnp.float32)
    covered = height * width * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = jnp.exp(low + (high - low) * draws[1])
    tall, wide = jnp.round(jnp.sqrt(covered * ratio)), jnp.round(jnp.sqrt(covered / ratio))
    fits = (tall >= 1) & (tall <= height) & (wide >= 1) & (wide <= width)
    first = jnp.argmax(fits, axis=1)[:, None]
    tall, wide = (jnp.take_along_axis(values, first, axis=1)[:, 0] for values in (tall, wide))
    # A draw just under 1 can round up to 1 times the room, which floor would turn into one place too many.
    top, left = (
        jnp.minimum(jnp.floor(draw * (room + 1)), room)
        for draw, room in ((draws[2, :, 0], height - tall), (draws[3, :, 0], width - wide))
    )
    changed = fits.any(axis=1) & (draws[4, :, 0] < probability)
    inside = rectangle(images, top, top + jnp.where(changed, tall, 0), left, left + wide)
    if fill == "noise":
        noise = beside(jax.random.uniform(noise_key, images.shape, jnp.float32), images).astype(images.dtype)
    else:
        noise = jnp.asarray(fill, images.dtype)
    return jnp.where(inside, noise, images)


def rectangle(images: jax.Array, top: jax.Array, bottom: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """Where the rectangle of each image is: rows from ``top`` and columns from ``left``, each up to before its end."""
    _, height, width, _ = images.shape
    top, bottom, left, right = (beside(end, images)[:, None] for end in (top, bottom, left, right))
    rows, columns = jnp.arange(height, dtype=top.dtype)[None], jnp.arange(width, dtype=left.dtype)[None]
    within_rows, within_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (within_rows[:, :, None] & within_columns[:, None, :])[..., None]
