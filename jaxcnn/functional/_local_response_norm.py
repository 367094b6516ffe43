"""Local response normalisation across channels."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError


def local_response_norm(
    x: ArrayLike, *, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
    """Divides each entry by a power of the sum of squares over the neighbouring channels at the same position.

    ``y[c] = x[c] / (k + alpha * sum of x[j]**2)**beta`` where ``j`` runs over ``size`` channels about ``c``, from
    ``c - (size - 1) // 2`` to ``c + size // 2``, without channels that do not exist.

    The defaults are those of AlexNet. ``alpha`` multiplies the sum, as in its paper; PyTorch, ONNX and Caffe multiply
    the sum divided by ``size``, so their ``alpha`` is ``size`` times this one.

    Args:
        x: ``(*any, channels)``. Integers become float32.
        size: number of channels in a window; the longer half of an even window is after ``c``, as in ONNX (in PyTorch
            it is before).
        k: constant term of the divisor; with ``k=0`` an entry gives NaN if all channels of its window are 0.
        alpha: weight of the sum of squares.
        beta: exponent.

    Returns:
        an array like ``x``, computed in at least float32.

    Raises:
        ShapeError: a size under 1, or ``x`` without an axis.
        ValueError: a negative ``k`` or ``alpha``.
        TypeError: a size that is not an integer, or complex ``x``.

    Source: Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks (2012),
    section 3.3.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([0.0, 0, 3, 4, 0, 0])
    >>> print(local_response_norm(x, size=3, k=0.01, alpha=1, beta=0.5).round(3))  # inhibition among neighbours
    [0.  0.  0.6 0.8 0.  0. ]
    """
    x = as_array(x, name="x")
    size = as_int(size, name="size")
    if size < 1:
        raise ShapeError(f"size={size} must be at least 1.")
    if not x.ndim:
        raise ShapeError("x must have the shape (*batch, *spatial, channels) but is a scalar.")
    for name, value in (("k", k), ("alpha", alpha), ("beta", beta)):
        as_array(value, name=name)
    for name, value in (("k", k), ("alpha", alpha)):
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name}={value} must not be negative, or the divisor may vanish.")
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x must have real numbers, not {x.dtype}.")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.float32)
    wide = x.astype(accumulator_dtype(x.dtype))
    around = _sum_over_window(lax.square(wide), (size - 1) // 2, size // 2)
    return (wide * (k + alpha * around) ** -beta).astype(x.dtype)


def _sum_over_window(x: jax.Array, before: int, after: int) -> jax.Array:
    """Sums each entry of the last axis, ``before`` entries before it, and ``after`` after it; zeros beyond the ends."""
    last = x.ndim - 1
    before, after = min(before, x.shape[last]), min(after, x.shape[last])
    window = (1,) * last + (before + after + 1,)
    padding = ((0, 0),) * last + ((before, after),)
    return lax.reduce_window(x, x.dtype.type(0), lax.add, window, (1,) * x.ndim, padding)
