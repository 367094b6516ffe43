"""Subtractive and divisive normalisation of local contrast."""

import math
import numbers
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._axes import window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_less
from jaxcnn.functional._conv import conv


def local_contrast_norm(
    x: ArrayLike, *, window_shape: Sequence[int] = (9, 9), sigma: float | None = None, epsilon: float = 1e-6
) -> jax.Array:
    """Subtracts a local weighted mean of all channels, and divides by a local standard deviation of all channels.

    With the weights ``w`` of a Gaussian window, divided by the number of channels and by their sum over the entries of
    the window that are inside of ``x``::

        v[o, c] = x[o, c] - sum over k, i of w[k] x[o + k, i]
        s[o]    = sqrt(sum over k, i of w[k] v[o + k, i]**2)
        y[o, c] = v[o, c] / max(s[o], mean of s over all positions, epsilon)

    The mean of ``s``, which is computed for each example, keeps noise from being amplified at positions with less
    contrast than on average.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers become float32.
        window_shape: one size for each spatial axis; the longer half of an even window is after the position.
        sigma: standard deviation of the Gaussian in entries; by default a quarter of the window, as in Torch. The
            paper does not give it.
        epsilon: the smallest divisor. Without it a constant image would give 0 / 0.

    Returns:
        an array like ``x``, computed in at least float32.

    Raises:
        ShapeError: ``x`` has too few axes for the window, or an axis without an entry, or the window is not a size for
            each axis.
        ValueError: a ``sigma`` or an ``epsilon`` that is not positive.
        TypeError: ``x`` that is complex or not made of numbers.

    Source: Jarrett, Kavukcuoglu, Ranzato and LeCun, What is the best multi-stage architecture for object recognition?
    (2009), section 2; Pinto, Cox and DiCarlo (2008). Neither describes borders.

    >>> import jax.numpy as jnp
    >>> step = jnp.array([0.0, 0, 0, 10, 10, 10])[:, None]
    >>> print(local_contrast_norm(step, window_shape=(3,))[:, 0].round(1) + 0.0)  # only the edge is left
    [ 0.   0.  -1.1  1.1  0.   0. ]
    """
    x = as_array(x, name="x")
    window = window_per_axis(window_shape)
    ndim = len(window)
    if x.ndim < ndim + 1 or any(is_less(size, 1) for size in x.shape[x.ndim - ndim - 1 :]):
        raise ShapeError(
            f"x must have the shape (*batch, *spatial, channels) with {ndim} spatial axes for window_shape={window}, "
            f"and entries on each, not {x.shape}."
        )
    for name, value in (("sigma", sigma), ("epsilon", epsilon)):
        if isinstance(value, numbers.Real) and not value > 0:
            raise ValueError(f"{name}={value} must be positive.")
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x must have real numbers, not {x.dtype}.")
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.dtype("float32")
    wide = x.astype(accumulator_dtype(dtype))
    # The result does not depend on a constant, and small differences are more exact without a large one.
    wide = wide - wide.mean(tuple(range(x.ndim - ndim - 1, x.ndim)), keepdims=True)
    rows = [_gaussian(size, size / 4 if sigma is None else sigma) for size in window]

    def local_mean(values: jax.Array) -> jax.Array:
        """The weighted mean around each position, ``(*batch, *spatial, 1)``."""
        total, weight = values.mean(-1, keepdims=True), jnp.ones((*x.shape[x.ndim - ndim - 1 : -1], 1), wide.dtype)
        for axis, row in enumerate(rows):  # the Gaussian is separable
            shape = [row.size if each == axis else 1 for each in range(ndim)]
            kernel = jnp.asarray(row.reshape(*shape, 1, 1), wide.dtype)
            total, weight = (conv(each, kernel, precision="highest") for each in (total, weight))
        return total / jnp.broadcast_to(weight, total.shape)

    centred = wide - local_mean(wide)
    variance = local_mean(centred**2)
    deviation = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)  # no derivative at 0
    average = deviation.mean(tuple(range(x.ndim - ndim - 1, x.ndim - 1)), keepdims=True)
    return (centred / jnp.maximum(jnp.maximum(deviation, average), epsilon)).astype(dtype)


def _gaussian(size: int, sigma: float) -> np.ndarray:
    offsets = np.arange(size) - (size - 1) / 2
    # Relative to the middle of an even window, so that not all weights of a small sigma are 0.
    weights: np.ndarray = np.exp(-(offsets**2 - offsets[size // 2] ** 2) / sigma / sigma / 2)
    return weights / math.fsum(weights)
