"""Images tinted along the directions in which the colours of a data set vary most."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_amount, as_images, beside
from jaxcnn.functional.dtypes import accumulator_dtype
from jaxcnn.shapes.errors import ShapeError


def color_axes(images: jax.Array) -> jax.Array:
    """The principal axes of a set's colours, each as long as the standard deviation along it: ``E sqrt(L)``.

    ``E L E^T`` is the covariance of the pixels' channels, so that ``axes @ axes.T`` is it again. Longest first; the
    largest entry of each axis is positive.

    Args:
        images: ``(batch, height, width, channels)``, floating: the training images, or a few thousand of them.

    Returns:
        ``(channels, channels)``, an axis in each column, in float32 or float64.

    Raises:
        ShapeError: images that are not a batch, or none.
        TypeError: images that are not floating.

    >>> reds = jnp.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]).reshape(3, 1, 1, 2)
    >>> [[round(value, 3) for value in row] for row in color_axes(reds).tolist()]
    [[0.408, 0.0], [0.0, 0.0]]
    """
    images = as_images(images, who="color_axes")
    if not len(images):
        raise ShapeError("color_axes: there is no image to look at.")
    pixels = images.astype(accumulator_dtype(images.dtype)).reshape(-1, images.shape[-1])
    centred = pixels - pixels.mean(0, keepdims=True)
    covariance = jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST) / len(pixels)
    values, vectors = jnp.linalg.eigh(covariance)
    # NumPy and each device choose signs of their own.
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0)[None], axis=0)
    axes = vectors * jnp.where(largest < 0, -1, 1).astype(vectors.dtype) * jnp.sqrt(jnp.maximum(values, 0))[None]
    return axes[:, ::-1]


def random_pca_noise(key: jax.Array, images: jax.Array, axes: jax.Array, *, strength: float = 0.1) -> jax.Array:
    """Adds one colour to all pixels of each image: ``x + axes @ a``, each ``a`` normal of deviation ``strength``.

    The paper multiplies each axis by its eigenvalue. In pixels of 0..255 that would be hundreds of grey levels, and
    the numbers in use since (55.46, 4.794 and 1.148 of 255) have the size of deviations, so ``axes`` are as long as
    those. Nothing is clipped, as in the paper: it is light that changes, and the mean is subtracted next.

    Args:
        key: decides the colours, together with the number of images.
        images: ``(batch, height, width, channels)``, floating.
        axes: ``(channels, channels)``, from ``color_axes`` of the training images.
        strength: deviation of the draws.

    Returns:
        images of the same shape and dtype; they may leave [0, 1] a little.

    Raises:
        ShapeError: images that are not a batch, axes of another shape, or a negative ``strength``.
        TypeError: images or axes that are not floating, or a ``strength`` that is not a plain number.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> axes = jnp.diag(jnp.array([1.0, 0.0, 0.0]))  # only the red varies
    >>> y = random_pca_noise(jax.random.key(0), jnp.full((2, 1, 1, 3), 0.5), axes)
    >>> [[round(value, 2) for value in colour] for colour in y[:, 0, 0].tolist()]
    [[0.66, 0.5, 0.5], [0.49, 0.5, 0.5]]
    """
    who = "random_pca_noise"
    images, axes = as_images(images, who=who), jnp.asarray(axes)
    strength = as_amount(strength, who=who, name="strength")
    channels = images.shape[-1]
    if not jnp.issubdtype(axes.dtype, jnp.floating):
        raise TypeError(f"{who}: axes want a floating dtype, not {axes.dtype}.")
    if axes.shape != (channels, channels):
        raise ShapeError(
            f"{who}: images of {channels} channels want axes of the shape {(channels, channels)}, but "
            f"axes.shape={axes.shape}. They come from color_axes(training_images)."
        )
    dtype = accumulator_dtype(images.dtype)
    draws = strength * jax.random.normal(key, (len(images), channels), jnp.float32)
    colours = jnp.matmul(draws.astype(dtype), axes.astype(dtype).T, precision=jax.lax.Precision.HIGHEST)
    return (images.astype(dtype) + beside(colours, images)[:, None, None]).astype(images.dtype)
