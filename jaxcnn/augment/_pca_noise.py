"""Random changes of colour along the principal axes of the colours of a data set."""

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._errors import ShapeError
from jaxcnn.augment._images import as_amount, as_images, as_key, with_batch_shape, with_sharding_of


def color_axes(images: ArrayLike) -> jax.Array:
    """The principal axes of the colours of a set of images, scaled by their standard deviations: ``E sqrt(L)``.

    ``E L E^T`` is the covariance of the channels over all pixels, so ``axes @ axes.T`` equals it. The longest axis is
    first; the largest entry of each axis is positive.

    Args:
        images: ``(*batch, height, width, channels)``, floating: the training images, or a few thousand of them.

    Returns:
        ``(channels, channels)``, an axis in each column, in float32 or float64.

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or no image.
        TypeError: images that are not floating.

    >>> reds = jnp.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]).reshape(3, 1, 1, 2)
    >>> [[round(value, 3) for value in row] for row in color_axes(reds).tolist()]
    [[0.408, 0.0], [0.0, 0.0]]
    """
    x, batch_shape = as_images(images)
    if not len(x):
        raise ShapeError(f"there are no images in an array of shape {(*batch_shape, *x.shape[1:])}.")
    pixels = x.astype(accumulator_dtype(x.dtype)).reshape(-1, x.shape[-1])
    centred = pixels - pixels.mean(0, keepdims=True)
    covariance = jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST) / len(pixels)
    values, vectors = jnp.linalg.eigh(covariance)
    # The signs of eigenvectors differ between devices.
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0)[None], axis=0)
    axes = vectors * jnp.where(largest < 0, -1, 1).astype(vectors.dtype) * jnp.sqrt(jnp.maximum(values, 0))[None]
    return axes[:, ::-1]


def random_pca_noise(key: jax.Array, images: ArrayLike, axes: ArrayLike, *, strength: float = 0.1) -> jax.Array:
    """Adds one random colour to all pixels of each image: ``x + axes @ a``, ``a`` normal of deviation ``strength``.

    The paper multiplies each axis by its eigenvalue. For pixels of 0 to 255 these would be hundreds of grey levels, and
    the values in common use (55.46, 4.794 and 1.148 of 255) have the size of standard deviations, so ``axes`` are
    scaled by standard deviations. Nothing is clipped, as in the paper.

    Args:
        key: determines the colours, together with the number of images.
        images: ``(*batch, height, width, channels)``, floating.
        axes: ``(channels, channels)``, from ``color_axes`` of the training images.
        strength: standard deviation of the draws.

    Returns:
        images of the same shape and dtype; values may be slightly outside [0, 1].

    Raises:
        ShapeError: images with fewer than three axes or no pixels, or axes of another shape.
        ValueError: a negative ``strength``.
        TypeError: images or axes that are not floating, a ``strength`` that is not a plain number, or an invalid key.

    Source: Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    section 4.1.

    >>> axes = jnp.diag(jnp.array([1.0, 0.0, 0.0]))  # only red varies
    >>> y = random_pca_noise(jax.random.key(0), jnp.full((2, 1, 1, 3), 0.5), axes)
    >>> [[round(value, 2) for value in colour] for colour in y[:, 0, 0].tolist()]
    [[0.66, 0.5, 0.5], [0.49, 0.5, 0.5]]
    """
    key, axes = as_key(key), as_array(axes, name="axes")
    x, batch_shape = as_images(images)
    strength = as_amount(strength, name="strength")
    channels = x.shape[-1]
    if not jnp.issubdtype(axes.dtype, jnp.floating):
        raise TypeError(f"axes must have a floating dtype, not {axes.dtype}.")
    if axes.shape != (channels, channels):
        raise ShapeError(
            f"axes of images with {channels} channels must have the shape {(channels, channels)}, but "
            f"axes.shape={axes.shape}. Compute them by color_axes(training_images)."
        )
    dtype = accumulator_dtype(x.dtype)
    draws = strength * jax.random.normal(key, (len(x), channels), jnp.float32)
    colours = jnp.matmul(draws.astype(dtype), axes.astype(dtype).T, precision=jax.lax.Precision.HIGHEST)
    y = (x.astype(dtype) + with_sharding_of(colours, x)[:, None, None]).astype(x.dtype)
    return with_batch_shape(y, batch_shape)
