"""The p-norm of each window."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import Padding, PoolPlan, norm_exponent
from jaxcnn.functional._pooling import (
    MAXIMUM,
    as_float,
    as_ordered,
    extremum_of_windows,
    magnitude,
    plan_windows,
    widened,
    window_norm,
    window_sum,
)


def lp_pool(
    x: ArrayLike,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    p: float = 2,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """The p-norm of each window: between a sum (``p=1``) and a maximum (``p=inf``) of absolute values.

    ``y[..., o, c] = (sum over j of abs(x[..., o * stride - before + j * dilation, c])**p)**(1 / p)``, and the maximum
    of ``abs(x)`` for ``p=inf``. Positions outside ``x`` add nothing, so an incomplete window gives the norm of the
    entries that it reads. A window is divided by its greatest entry first, so that no power overflows where the norm
    does not. Derivatives that grow without bound at 0 (of the root if all entries of a window are 0; of ``abs(x)**p``
    for small ``p`` if an entry is 0) are defined as 0, to any order.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are pooled in the default floating type; types of fewer than
            32 bits are summed in float32.
        window_shape: one integer per spatial axis; it determines the number of spatial axes.
        strides: as in ``max_pool``, like ``padding``, ``window_dilation`` and ``ceil_mode``.
        p: a positive number, or ``inf``.

    Returns:
        ``(*batch, *out_spatial, channels)``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        ValueError: a ``p`` that is not positive, or an unknown name of padding.
        TypeError: options of another kind, complex numbers or booleans.

    Source: Sermanet, Chintala, LeCun (2012), "Convolutional neural networks applied to house numbers digit
    classification", where a Gaussian weighs the entries; the operator LpPool of ONNX.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([3., -4., 0., 0.])[:, None]
    >>> [F.lp_pool(x, (2,), strides=2, p=p)[:, 0].tolist() for p in (1, 2, float("inf"))]
    [[7.0, 0.0], [5.0, 0.0], [4.0, 0.0]]
    """
    x = as_float(as_ordered(x))
    p = norm_exponent(p)
    plan = plan_windows(x, window_shape, strides, padding, window_dilation, ceil_mode)
    return _norm(x, plan, p)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _norm(x: jax.Array, plan: PoolPlan, p: float) -> jax.Array:
    if math.isinf(p):
        greatest, _ = extremum_of_windows(magnitude(x), plan, MAXIMUM)
        return jnp.where(greatest < 0, jnp.zeros((), x.dtype), greatest)  # a window of only padding has the least value
    wide = widened(x)
    if p == 1 or all(axis.window == 1 for axis in plan):
        return window_sum(magnitude(wide), plan).astype(x.dtype)
    return window_norm(wide, plan, p).astype(x.dtype)
