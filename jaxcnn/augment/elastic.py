"""Images distorted as if drawn on rubber."""

import math

import jax
import jax.numpy as jnp

from jaxcnn.augment.images import as_amount, as_images, beside
from jaxcnn.augment.sampling import bilinear
from jaxcnn.functional.dtypes import accumulator_dtype
from jaxcnn.shapes.errors import ShapeError


def random_elastic(
    key: jax.Array, images: jax.Array, *, alpha: float = 34.0, sigma: float = 4.0, fill: float = 0.0
) -> jax.Array:
    """Moves every pixel by a smooth random field of its image's own: ``y[p] = x[p + d(p)]``, bilinear.

    ``d = alpha * (G * n)``: ``n`` is uniform in ``[-1, 1]`` for each pixel, rows and columns apart, and zero outside
    the image; ``G`` is a Gaussian of sum 1, cut off at four deviations. The paper leaves the norm of the field open;
    this is ``scipy.ndimage.gaussian_filter(n, sigma, mode="constant")``, as nearly every reimplementation has it.
    Small ``sigma`` shakes pixels, large ``sigma`` shifts the image.

    Args:
        key: decides the fields, together with the shape of the images.
        images: ``(batch, height, width, channels)``, floating, of any range.
        alpha: strength, in pixels before smoothing; 34 goes with 28x28 digits.
        sigma: deviation of the Gaussian in pixels.
        fill: the value that comes in from outside.

    Returns:
        images of the same shape and dtype.

    Raises:
        ShapeError: images that are not a batch, an amount that is negative or not finite, or ``sigma=0``.
        TypeError: images that are not floating, or an amount that is not a plain number.

    Source: Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks applied to visual
    document analysis", section 2.

    >>> image = jnp.zeros((1, 28, 28, 1)).at[:, :, 14].set(1.0)
    >>> y = random_elastic(jax.random.key(0), image)  # an upright line, now wavy
    >>> [int(column) for column in y[0, 4:24:4, :, 0].argmax(axis=1)]
    [13, 14, 15, 15, 15]
    """
    who = "random_elastic"
    images = as_images(images, who=who)
    alpha = as_amount(alpha, who=who, name="alpha")
    sigma = as_amount(sigma, who=who, name="sigma")
    if sigma == 0:
        raise ShapeError(f"{who}: sigma=0 leaves nothing smooth; 4 goes with 28x28 digits.")
    batch, height, width, _ = images.shape
    dtype = accumulator_dtype(images.dtype)
    noise = jax.random.uniform(key, (2, batch, height, width), jnp.float32, minval=-1.0, maxval=1.0)
    down, right = (_smooth(beside(one, images).astype(dtype), sigma) for one in noise)
    rows = jnp.arange(height, dtype=dtype)[None, :, None] + alpha * down
    columns = jnp.arange(width, dtype=dtype)[None, None, :] + alpha * right
    return bilinear(images, rows, columns, fill)


def _smooth(field: jax.Array, sigma: float) -> jax.Array:
    """The Gaussian along both axes, as products with banded matrices: quick on every device at these sizes."""
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
    rows = [
        [band[there - here + radius] if abs(there - here) <= radius else 0.0 for there in range(size)]
        for here in range(size)
    ]
    return jnp.array(rows, dtype)
