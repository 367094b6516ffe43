"""Several views of each image for evaluation, and the mean of the predictions for them."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import IntPerAxis, as_int, int_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.augment._images import as_images

Average = Literal["probabilities", "logits"]


def flip_views(images: ArrayLike) -> jax.Array:
    """The images and their mirror images.

    Args:
        images: ``(*batch, height, width, channels)``, floating.

    Returns:
        ``(2, *batch, height, width, channels)``.

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        TypeError: images that are not floating.

    >>> flip_views(jnp.arange(3.0).reshape(1, 1, 3, 1))[:, 0, 0, :, 0]
    Array([[0., 1., 2.],
           [2., 1., 0.]], dtype=float32)
    """
    x, batch_shape = as_images(images)
    return _with_batch_shape(jnp.stack([x, jnp.flip(x, 2)]), batch_shape)


def shift_views(images: ArrayLike, *, pixels: int = 1) -> jax.Array:
    """The images and two diagonal shifts of them.

    The second view is moved down and right, the third up and left; pixels from outside are reflected. With their
    mirror images and the weights 1/4, 1/8, 1/8 these are the six views of the CIFAR-10 speed-run.

    Args:
        images: ``(*batch, height, width, channels)``, floating.
        pixels: the shift in both directions.

    Returns:
        ``(3, *batch, height, width, channels)``.

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        ValueError: a shift that is negative or not smaller than the images.
        TypeError: images that are not floating, or pixels that are not an integer.

    Source: Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.5.

    >>> shift_views(jnp.arange(9.0).reshape(1, 3, 3, 1))[:, 0, 0, :, 0]
    Array([[0., 1., 2.],
           [4., 3., 4.],
           [4., 5., 4.]], dtype=float32)
    """
    pixels = as_int(pixels, name="pixels")
    x, batch_shape = as_images(images)
    _, height, width, _ = x.shape
    if not 0 <= pixels < min(height, width):
        raise ValueError(f"pixels={pixels} must be at least 0 and less than the size {min(height, width)}.")
    padded = jnp.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")
    far = 2 * pixels
    views = jnp.stack([x, padded[:, :height, :width], padded[:, far : far + height, far : far + width]])
    return _with_batch_shape(views, batch_shape)


def ten_crop(images: ArrayLike, *, size: IntPerAxis) -> jax.Array:
    """The four corners and the centre of each image, then their mirror images, ``(10, *batch, *size, channels)``.

    The order is upper left, upper right, lower left, lower right, centre.

    Args:
        images: ``(*batch, height, width, channels)``, floating.
        size: height and width of a crop, or one integer for both.

    Returns:
        ``(10, *batch, *size, channels)``.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or smaller than a crop.
        TypeError: images that are not floating, or a size that is not an integer.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> ten_crop(jnp.arange(16.0).reshape(1, 4, 4, 1), size=2)[:, 0, 0, :, 0].astype(int).tolist()
    [[0, 1], [2, 3], [8, 9], [10, 11], [5, 6], [1, 0], [3, 2], [9, 8], [11, 10], [6, 5]]
    """
    x, batch_shape = as_images(images)
    crop_height, crop_width = int_per_axis(size, 2, name="size")
    _, height, width, _ = x.shape
    if crop_height > height or crop_width > width:
        raise ShapeError(f"size={(crop_height, crop_width)} is larger than images of {height}x{width}.")
    bottom, right = height - crop_height, width - crop_width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    crops = jnp.stack([x[:, top : top + crop_height, left : left + crop_width] for top, left in corners])
    return _with_batch_shape(jnp.concatenate([crops, jnp.flip(crops, 3)]), batch_shape)


def average_over_views(
    apply: Callable[[jax.Array], jax.Array],
    views: ArrayLike,
    *,
    weights: Sequence[float] | None = None,
    average: Average = "probabilities",
) -> jax.Array:
    """The weighted mean of the predictions for several views: ``sum over v of w[v] f(apply(views[v]))``.

    ``f`` is the softmax over classes for probabilities, and the identity for logits.

    Args:
        apply: images -> logits ``(*batch, ..., classes)``, with the normalisation, such as
            ``lambda x: model.apply(variables, x, train=False)``.
        views: ``(views, *batch, height, width, channels)``: from ``flip_views``, ``shift_views`` or ``ten_crop``.
        weights: one for each view, of sum 1; equal by default.
        average: ``"probabilities"`` or ``"logits"``, which is also the kind of the result.

    Returns:
        ``(*batch, ..., classes)``.

    Raises:
        ShapeError: no view, fewer than four axes, or another number of weights than of views.
        ValueError: weights that do not add up to 1, or another ``average``.

    >>> views = flip_views(jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1))
    >>> first_pixel = lambda images: images[:, 0, :, 0]  # logits that depend on the side
    >>> average_over_views(first_pixel, views, average="logits")
    Array([[0.5, 0.5]], dtype=float32)
    """
    check_choice(average, get_args(Average), name="average")
    views = as_array(views, name="views")
    if views.ndim < 4 or not len(views):
        raise ShapeError(
            f"views must have the shape (views, *batch, height, width, channels), but views.shape={views.shape}."
        )
    shares = [1 / len(views)] * len(views) if weights is None else [float(weight) for weight in weights]
    if len(shares) != len(views):
        raise ShapeError(f"{len(views)} views need {len(views)} weights, but there are {len(shares)}.")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError(f"weights must add up to 1, but weights={weights!r} add up to {sum(shares):g}.")
    finish = jax.nn.softmax if average == "probabilities" else lambda logits: logits
    # One after the other, unrolled: XLA runs convolutions inside a loop on one thread of the CPU.
    first, *rest = (share * finish(apply(view)) for share, view in zip(shares, views, strict=True))
    return sum(rest, first)


def _with_batch_shape(views: jax.Array, batch_shape: tuple[int, ...]) -> jax.Array:
    """``(views, n, ...)`` -> ``(views, *batch_shape, ...)``."""
    return views if len(batch_shape) == 1 else views.reshape(len(views), *batch_shape, *views.shape[2:])
