"""Several views of each image at test time, and the mean of what a model says of them."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_images
from jaxcnn.shapes.axes import IntPerAxis, as_int, int_per_axis
from jaxcnn.shapes.errors import ShapeError, check_choice


def flip_views(images: jax.Array) -> jax.Array:
    """The images and their mirror images, ``(2, batch, height, width, channels)``.

    Raises:
        ShapeError: images that are not a batch.
        TypeError: images that are not floating.

    >>> flip_views(jnp.arange(3.0).reshape(1, 1, 3, 1))[:, 0, 0, :, 0]
    Array([[0., 1., 2.],
           [2., 1., 0.]], dtype=float32)
    """
    images = as_images(images, who="flip_views")
    return jnp.stack([images, jnp.flip(images, 2)])


def shift_views(images: jax.Array, *, pixels: int = 1) -> jax.Array:
    """The images, and both their shifts along the diagonal, ``(3, batch, height, width, channels)``.

    The second is moved down and right, the third up and left; what comes in is reflected. With their mirror images and
    the weights 1/4, 1/8, 1/8 these are the six views of the CIFAR-10 speed-run.

    Args:
        images: ``(batch, height, width, channels)``, floating.
        pixels: how far.

    Raises:
        ShapeError: images that are not a batch, or a shift that is negative or not smaller than they are.
        TypeError: images that are not floating, or pixels that are not whole.

    Source: Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.5.

    >>> shift_views(jnp.arange(9.0).reshape(1, 3, 3, 1))[:, 0, 0, :, 0]
    Array([[0., 1., 2.],
           [4., 3., 4.],
           [4., 5., 4.]], dtype=float32)
    """
    who = "shift_views"
    images, pixels = as_images(images, who=who), as_int(pixels, who=who, name="pixels")
    _, height, width, _ = images.shape
    if not 0 <= pixels < min(height, width):
        raise ShapeError(f"{who}: pixels={pixels} must be at least 0 and under the size {min(height, width)}.")
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")
    far = 2 * pixels
    return jnp.stack([images, padded[:, :height, :width], padded[:, far : far + height, far : far + width]])


def ten_crop(images: jax.Array, *, size: IntPerAxis) -> jax.Array:
    """The four corners and the centre of each image, then their mirror images, ``(10, batch, *size, channels)``.

    Upper left, upper right, lower left, lower right, centre.

    Args:
        images: ``(batch, height, width, channels)``, floating.
        size: height and width of a crop, or one integer for both.

    Raises:
        ShapeError: images that are not a batch, or smaller than a crop.
        TypeError: images that are not floating, or a size that is not whole.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> ten_crop(jnp.arange(16.0).reshape(1, 4, 4, 1), size=2)[:, 0, 0, :, 0].astype(int).tolist()
    [[0, 1], [2, 3], [8, 9], [10, 11], [5, 6], [1, 0], [3, 2], [9, 8], [11, 10], [6, 5]]
    """
    who = "ten_crop"
    images = as_images(images, who=who)
    high, wide = int_per_axis(size, 2, who=who, name="size")
    _, height, width, _ = images.shape
    if high > height or wide > width:
        raise ShapeError(f"{who}: size={(high, wide)} is larger than images of {height}x{width}.")
    bottom, right = height - high, width - wide
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    crops = jnp.stack([images[:, top : top + high, left : left + wide] for top, left in places])
    return jnp.concatenate([crops, jnp.flip(crops, 3)])


def average_over_views(
    apply: Callable[[jax.Array], jax.Array],
    views: jax.Array,
    *,
    weights: Sequence[float] | None = None,
    average: str = "probabilities",
) -> jax.Array:
    """The weighted mean of what a model says of several views: ``sum over v of w[v] f(apply(views[v]))``.

    ``f`` is the softmax over classes, or nothing.

    Args:
        apply: images of a batch -> logits ``(batch, ..., classes)``; such as
            ``lambda x: model.apply(variables, x, train=False)``, with the normalisation.
        views: ``(views, batch, height, width, channels)``: from ``flip_views``, ``shift_views`` or ``ten_crop``.
        weights: of each view, of sum 1; equal unless given.
        average: ``"probabilities"`` or ``"logits"``, which is also what comes back.

    Returns:
        ``(batch, ..., classes)``.

    Raises:
        ShapeError: no view, other than one weight for each, weights that do not add up to 1, or another ``average``.

    >>> views = flip_views(jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1))
    >>> first_pixel = lambda images: images[:, 0, :, 0]  # its logits depend on the side
    >>> average_over_views(first_pixel, views, average="logits")
    Array([[0.5, 0.5]], dtype=float32)
    """
    who = "average_over_views"
    check_choice(average, ("probabilities", "logits"), who=who, name="average")
    views = jnp.asarray(views)
    if views.ndim != 5 or not len(views):
        raise ShapeError(
            f"{who}: views want the shape (views, batch, height, width, channels), but views.shape={views.shape}."
        )
    shares = [1 / len(views)] * len(views) if weights is None else [float(weight) for weight in weights]
    if len(shares) != len(views) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ShapeError(f"{who}: {len(views)} views want as many weights that add up to 1, not {weights!r}.")
    finish = jax.nn.softmax if average == "probabilities" else lambda logits: logits
    # One after the other, unrolled: XLA runs convolutions inside a loop on one thread of the CPU.
    first, *rest = (share * finish(apply(view)) for share, view in zip(shares, views, strict=True))
    return sum(rest, first)
