"""The p-norm of each window."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.functional.ordering import MAXIMUM
from jaxcnn.functional.pool import as_float, widened, window_sum
from jaxcnn.functional.selection import as_ordered, best_of_windows
from jaxcnn.functional.windows import plan_windows
from jaxcnn.shapes.axes import IntPerAxis
from jaxcnn.shapes.padding import Padding
from jaxcnn.shapes.pool import PoolPlan, norm_exponent


def lp_pool(
    x: jax.Array,
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
    of ``abs(x)`` for ``p=inf``. What lies outside ``x`` adds nothing, so an incomplete window is the norm of what it
    reads. Derivatives that grow without bound at 0 (of the root where a window is all zeros; of ``abs(x)**p`` for
    small ``p`` where an entry is) are taken as 0, to any order.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are pooled in the default floating type; half precision is summed
            in float32.
        window_shape: one integer per spatial axis; it fixes how many axes are spatial.
        strides: steps between windows. There is no default: libraries differ in theirs.
        p: a positive number, or ``inf``.
        padding: as everywhere in the library.
        window_dilation: steps between the entries of a window.
        ceil_mode: also the last, incomplete window counts, unless it would start in the padding after.

    Returns:
        ``(*batch, *out_spatial, channels)``.

    Raises:
        ShapeError: no window fits, options that do not match the number of axes, or a ``p`` that is not positive.
        TypeError: options of another kind, complex numbers or booleans.

    Source: Sermanet, Chintala, LeCun (2012), "Convolutional neural networks applied to house numbers digit
    classification", where a Gaussian weighs the entries; the operator LpPool of ONNX.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([3., -4., 0., 0.])[:, None]
    >>> [F.lp_pool(x, (2,), strides=2, p=p)[:, 0].tolist() for p in (1, 2, float("inf"))]
    [[7.0, 0.0], [5.0, 0.0], [4.0, 0.0]]
    """
    who = "lp_pool"
    x = as_float(as_ordered(x, who=who), who=who)
    p = norm_exponent(p, who=who)
    plan = plan_windows(
        x,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
        who=who,
    )
    return _norm(x, plan, p)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _norm(x: jax.Array, plan: PoolPlan, p: float) -> jax.Array:
    if math.isinf(p):
        greatest, _ = best_of_windows(_magnitude(x), plan, MAXIMUM)
        return jnp.where(greatest < 0, jnp.zeros((), x.dtype), greatest)  # a window of padding has -inf
    return root(window_sum(power(widened(x), p), plan), p).astype(x.dtype)


def _magnitude(x: jax.Array) -> jax.Array:
    """``abs(x)`` with slope 0 at 0, where JAX takes 1."""
    return x * jnp.sign(x)


def power(x: jax.Array, p: float) -> jax.Array:
    """``abs(x)**p``, with every derivative at 0 finite: the true one where there is one, else 0."""
    if p == 2:
        return x * x
    x = _magnitude(x)
    if p.is_integer() and p < 64:
        return lax.integer_pow(x, int(p))
    zero = x == 0
    return jnp.where(zero, jnp.zeros((), x.dtype), jnp.where(zero, jnp.ones((), x.dtype), x) ** p)


def root(total: jax.Array, p: float) -> jax.Array:
    """``total**(1 / p)``, with every derivative at 0 taken as 0."""
    if p == 1:
        return total
    zero = total == 0
    safe = jnp.where(zero, jnp.ones((), total.dtype), total)
    return jnp.where(zero, jnp.zeros((), total.dtype), jnp.sqrt(safe) if p == 2 else safe ** (1 / p))
