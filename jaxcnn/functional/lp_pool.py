"""The p-norm of each window."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import Padding, PoolPlan, norm_exponent
from jaxcnn.functional.ordering import MAXIMUM
from jaxcnn.functional.pool import as_float, by_doubling, widened, window_sum
from jaxcnn.functional.selection import as_ordered, best_of_windows
from jaxcnn.functional.taps import by_taps, over_taps, passes
from jaxcnn.functional.windows import plan_windows, rows


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
    reads. A window is divided by its greatest entry first, so that no power overflows where the norm does not.
    Derivatives that grow without bound at 0 (of the root where a window is all zeros; of ``abs(x)**p`` for
    small ``p`` where an entry is) are taken as 0, to any order.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are pooled in the default floating type; types of fewer than
            32 bits are summed in float32.
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
    x = as_float(as_ordered(x))
    p = norm_exponent(p)
    plan = plan_windows(
        x,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
        ceil_mode=ceil_mode,
    )
    return _norm(x, plan, p)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _norm(x: jax.Array, plan: PoolPlan, p: float) -> jax.Array:
    if math.isinf(p):
        greatest, _ = best_of_windows(_magnitude(x), plan, MAXIMUM)
        return jnp.where(greatest < 0, jnp.zeros((), x.dtype), greatest)  # a window of padding has the least value
    wide, first = widened(x), x.ndim - 1 - len(plan)
    if p == 1:
        return window_sum(_magnitude(wide), plan).astype(x.dtype)
    for start, stop in passes(plan):  # the norm of the norms of parts is the norm of all
        few, axis, at = by_taps(plan, start, stop), plan[start], first + start
        if few is not None:
            wide = _norm_of_taps(wide, few, p)
        elif axis.apart:
            wide = norm_over(rows(wide, axis, at, fill=0), at + 1, p)
        else:
            wide = by_doubling(wide, axis, at, lambda one, other: norm_over(jnp.stack([one, other]), 0, p))
    return wide.astype(x.dtype)


def _norm_of_taps(x: jax.Array, plan: PoolPlan, p: float) -> jax.Array:
    """The p-norm over every tap of all axes of this plan, each tap divided by the greatest of its window."""
    scale = _scale(over_taps((jnp.abs(x),), plan, lambda entry, _: entry, lax.max, jnp.zeros((), x.dtype)))

    def scaled_power(entry: jax.Array, scale: jax.Array, _: int) -> jax.Array:
        return _power(entry / scale, p)

    total = over_taps((x, scale), plan, scaled_power, lax.add, jnp.zeros((), x.dtype))
    return scale * _root(total, p)


def norm_over(x: jax.Array, axis: int, p: float) -> jax.Array:
    """The p-norm over one whole axis, ``m * sum(abs(x / m)**p)**(1 / p)`` with ``m`` the greatest ``abs(x)``.

    No power overflows or underflows unless the norm does (Blue 1978, "A portable Fortran program to find the Euclidean
    norm of a vector"). The value does not depend on ``m``, so ``m`` is a constant to every derivative.
    """
    scale = _scale(jnp.abs(x).max(axis, keepdims=True))
    return scale.squeeze(axis) * _root(_power(x / scale, p).sum(axis), p)


def _scale(greatest: jax.Array) -> jax.Array:
    """What to divide by: 1 where all entries are 0 or one is infinite."""
    greatest = lax.stop_gradient(greatest)
    return jnp.where((greatest == 0) | jnp.isinf(greatest), jnp.ones((), greatest.dtype), greatest)


def _magnitude(x: jax.Array) -> jax.Array:
    """``abs(x)`` with slope 0 at 0, where JAX takes 1."""
    return x * jnp.sign(x)


def _power(x: jax.Array, p: float) -> jax.Array:
    """``abs(x)**p``, with every derivative at 0 finite: the true one where there is one, else 0."""
    if p == 2:
        return x * x
    x = _magnitude(x)
    if p.is_integer() and p < 64:
        return lax.integer_pow(x, int(p))
    zero = x == 0
    return jnp.where(zero, jnp.zeros((), x.dtype), jnp.where(zero, jnp.ones((), x.dtype), x) ** p)


def _root(total: jax.Array, p: float) -> jax.Array:
    """``total**(1 / p)``, with every derivative at 0 taken as 0."""
    if p == 1:
        return total
    zero = total == 0
    safe = jnp.where(zero, jnp.ones((), total.dtype), total)
    return jnp.where(zero, jnp.zeros((), total.dtype), jnp.sqrt(safe) if p == 2 else safe ** (1 / p))
