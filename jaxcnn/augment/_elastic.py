"""Elastic distortions of images."""

import math

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike, accumulator_dtype
from jaxcnn.augment._images import as_amount, as_fill, as_images, as_key, with_batch_shape, with_sharding_of
from jaxcnn.augment._sampling import bilinear


def random_elastic(
    key: jax.Array, images: ArrayLike, *, alpha: float = 34.0, sigma: float = 4.0, fill: float = 0.0
) -> jax.Array:
    """Displaces the pixels of each image by a smooth random field: ``y[p] = x[p + d(p)]``, bilinear.

    ``d = alpha * (G * n)``: ``n`` is uniform in ``[-1, 1]``, independent for each pixel and for rows and columns, and
    zero outside the image; ``G`` is a Gaussian of sum 1, cut off at four standard deviations. The paper does not give
    the norm of the field; this is ``scipy.ndimage.gaussian_filter(n, sigma, mode="constant")``, as in most
    implementations. A small ``sigma`` gives independent displacements, a large one shifts the whole image.

    Args:
        key: determines the fields, together with the shape of the images.
        images: ``(*batch, height, width, channels)``, floating, of any range.
        alpha: strength, in pixels before smoothing; 34 for 28x28 digits.
        sigma: standard deviation of the Gaussian in pixels.
        fill: the value outside the images.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images with fewer than three axes or no pixels.
        ValueError: an amount that is negative or not finite, or ``sigma=0``.
        TypeError: images that are not floating, an amount that is not a plain number, or an invalid key.

    Source: Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks applied to visual
    document analysis", section 2.

    >>> image = jnp.zeros((1, 28, 28, 1)).at[:, :, 14].set(1.0)
    >>> y = random_elastic(jax.random.key(0), image)  # a vertical line becomes a wavy one
    >>> [int(column) for column in y[0, 4:24:4, :, 0].argmax(axis=1)]
    [13, 14, 15, 15, 15]
    """
    key = as_key(key)
    x, batch_shape = as_images(images)
    alpha = as_amount(alpha, name="alpha")
    sigma = as_amount(sigma, name="sigma")
    fill = as_fill(fill)
    if sigma == 0:
        raise ValueError("sigma=0 smooths nothing, so each pixel would move alone. Use 4 for 28x28 digits.")
    batch, height, width, _ = x.shape
    dtype = accumulator_dtype(x.dtype)
    noise = jax.random.uniform(key, (2, batch, height, width), jnp.float32, minval=-1.0, maxval=1.0)
    down, right = (_smooth(with_sharding_of(one, x).astype(dtype), sigma) for one in noise)
    rows = jnp.arange(height, dtype=dtype)[None, :, None] + alpha * down
    columns = jnp.arange(width, dtype=dtype)[None, None, :] + alpha * right
    return with_batch_shape(bilinear(x, rows, columns, fill), batch_shape)


def _smooth(field: jax.Array, sigma: float) -> jax.Array:
    """The Gaussian along both axes, as products with banded matrices, which are fast on every device at these sizes."""
    _, height, width = field.shape
    by_row, by_column = _gaussian(height, sigma, field.dtype), _gaussian(width, sigma, field.dtype)
    field = jnp.einsum("rq,bqc->brc", by_row, field, precision=jax.lax.Precision.HIGHEST)
    return jnp.einsum("cq,brq->brc", by_column, field, precision=jax.lax.Precision.HIGHEST)


def _gaussian(size: int, sigma: float, dtype: jnp.dtype) -> jax.Array:
    """``(size, size)``: the weight of each position in each smoothed one. Rows near the ends sum to less than 1."""
    radius = int(4 * sigma + 0.5)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(-radius, radius + 1)]
    total = sum(weights)
    band = [weight / total for weight in weights]
    rows = [[band[q - r + radius] if abs(q - r) <= radius else 0.0 for q in range(size)] for r in range(size)]
    return jnp.array(rows, dtype)
