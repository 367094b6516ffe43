"""Pools that turn the last map of a network into one vector, by which images are retrieved."""

import numbers

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.functional._adaptive_pool import global_avg_pool, global_max_pool
from jaxcnn.functional._pooling import as_float, as_ordered, widened

# Share of two neighbouring regions of ``r_mac`` that overlaps, and the numbers of regions along the longer side.
OVERLAP, MOST_STEPS = 0.4, 7
EPSILON = 1e-6


def mac(x: ArrayLike) -> jax.Array:
    """Maximum activations of convolutions: the maximum of each channel over all positions.

    Args:
        x: ``(*batch, height, width, channels)``, of a real type.

    Returns:
        ``(*batch, channels)``, of the type of ``x``.

    Raises:
        ShapeError: fewer than three axes, or no position.
        TypeError: complex numbers, which have no order.

    Source: Tolias, Sicre and Jégou (2016), "Particular object retrieval with integral max-pooling of CNN activations",
    section 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.mac(jnp.array([[[1.0], [4.0]], [[0.0], [3.0]]]))
    Array([4.], dtype=float32)
    """
    return global_max_pool(_as_map(x), spatial_ndim=2)


def spoc(x: ArrayLike) -> jax.Array:
    """Sum-pooled convolutional features, divided by the number of positions: the mean of each channel.

    Args:
        x: ``(*batch, height, width, channels)``. Integers are averaged in the default floating type; types of fewer
            than 32 bits are summed in float32.

    Returns:
        ``(*batch, channels)``.

    Raises:
        ShapeError: fewer than three axes, or no position.
        TypeError: booleans.

    Source: Babenko and Lempitsky (2015), "Aggregating deep convolutional features for image retrieval", section 4, of
    equal weights.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.spoc(jnp.array([[[1.0], [4.0]], [[0.0], [3.0]]]))
    Array([2.], dtype=float32)
    """
    return global_avg_pool(_as_map(x), spatial_ndim=2)


def gem(x: ArrayLike, *, p: ArrayLike = 3.0, epsilon: float = EPSILON) -> jax.Array:
    """Generalised mean of each channel over all positions: ``mean(max(x, epsilon)**p)**(1 / p)``.

    It is the mean for ``p = 1``, approaches the maximum with growing ``p``, and the geometric mean as ``p`` approaches
    0. Values are divided by the largest of their channel first, so that no power overflows where the result does not.
    ``nn.GeM`` trains ``p``.

    Args:
        x: ``(*batch, height, width, channels)``. Types of fewer than 32 bits are computed in float32.
        p: a positive number, or one for each channel; may be differentiated.
        epsilon: a positive lower bound of the values.

    Returns:
        ``(*batch, channels)``.

    Raises:
        ShapeError: fewer than three axes, no position, or a ``p`` that is neither one number nor one for each channel.
        ValueError: a ``p`` or an ``epsilon`` that is not positive; a traced ``p`` is not checked.
        TypeError: booleans or complex numbers.

    Source: Radenović, Tolias and Chum (2018), "Fine-tuning CNN image retrieval with no human annotation", section 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([[[1.0], [4.0]], [[1.0], [4.0]]])
    >>> [round(float(F.gem(x, p=p)[0]), 3) for p in (1, 3, 100)]
    [2.5, 3.191, 3.972]
    """
    if not isinstance(epsilon, numbers.Real) or not epsilon > 0:
        raise ValueError(f"epsilon={epsilon!r} must be a positive number: a power of 0 has no derivative.")
    power = as_array(p, name="p")
    if not isinstance(power, jax.core.Tracer) and not (np.asarray(power) > 0).all():
        raise ValueError(f"p={p} must be positive: 1 for the mean, 3 for a value near the maximum.")
    x = as_float(as_ordered(_as_map(x)))
    wide = jnp.maximum(widened(x), epsilon)
    power = power.astype(wide.dtype)
    if power.shape not in ((), x.shape[-1:]):
        raise ShapeError(
            f"p must be one number, or one for each of the {x.shape[-1]} channels; got p.shape={power.shape}."
        )
    power = jnp.broadcast_to(power, wide.shape)
    # gem(s x) = s gem(x) for every constant s, so the largest value has no derivative.
    largest = lax.stop_gradient(wide.max((-3, -2), keepdims=True))
    largest = jnp.where(jnp.isinf(largest), 1, largest)  # the quotient of two infinities would be NaN
    share = jnp.maximum(_divided(wide, largest), jnp.finfo(wide.dtype).tiny)  # the logarithm of 0 would be no number
    # Powers near 0 differ from 1 by less than float32 resolves, hence differences from 1.
    less_one = jnp.expm1(power * jnp.log(share)).mean((-3, -2))
    return (largest[..., 0, 0, :] * jnp.exp(jnp.log1p(less_one) / power[..., 0, 0, :])).astype(x.dtype)


def r_mac(x: ArrayLike, *, levels: int = 3) -> jax.Array:
    """Regional maximum activations: the sum of the normalised maxima of square regions at several sizes, normalised.

    Regions of level ``l`` have the side ``floor(2 * min(height, width) / (l + 1))``, and there are ``l`` of them along
    the shorter side of the map. Along the longer side there are more, by the same number at each level: the one by
    which the overlap of the regions of level 1 is closest to 40 %. The maxima of each region, and those of the whole
    map, are divided by their Euclidean norm, summed, and divided by the norm of the sum.

    Args:
        x: ``(*batch, height, width, channels)``, of a real type; integers become the default floating type.
        levels: sizes of regions; those whose side is below 1 are left out.

    Returns:
        ``(*batch, channels)`` of norm 1, or 0 where the map is 0.

    Raises:
        ShapeError: fewer than three axes, or no position.
        ValueError: ``levels`` below 1.
        TypeError: levels that are not an integer, booleans or complex numbers.

    Source: Tolias, Sicre and Jégou (2016), "Particular object retrieval with integral max-pooling of CNN activations",
    section 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.r_mac(jnp.array([[[3.0, 0.0], [0.0, 4.0]]])).round(2)
    Array([0.82, 0.57], dtype=float32)
    """
    if as_int(levels, name="levels") < 1:
        raise ValueError(f"levels={levels} must be at least 1.")
    x = as_float(_as_map(x))
    wide = widened(x)
    total = _normalized(global_max_pool(wide, spatial_ndim=2))
    for side, rows, columns in _regions(x.shape[-3], x.shape[-2], levels):
        for row in rows:
            for column in columns:
                region = wide[..., row : row + side, column : column + side, :]
                total = total + _normalized(global_max_pool(region, spatial_ndim=2))
    return _normalized(total).astype(x.dtype)


def _regions(height: int, width: int, levels: int) -> list[tuple[int, list[int], list[int]]]:
    """For each level the side of its square regions, and their first rows and columns.

    >>> _regions(4, 6, 2)
    [(4, [0], [0, 2]), (2, [0, 2], [0, 2, 4])]
    """
    short, long = min(height, width), max(height, width)
    more = 0
    if long > short:
        overlaps = {steps: 1 - (long - short) / (steps - 1) / short for steps in range(2, MOST_STEPS + 1)}
        more = min(overlaps, key=lambda steps: abs(overlaps[steps] - OVERLAP)) - 1
    found = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side:
            starts = [
                [index * (size - side) // max(count - 1, 1) for index in range(count)]
                for size in (height, width)
                for count in [level + (more if size == long else 0)]
            ]
            found.append((side, starts[0], starts[1]))
    return found


def _normalized(x: jax.Array) -> jax.Array:
    """Vectors of norm 1, or 0; divided by their largest entry first, so that no square overflows or underflows."""
    largest = lax.stop_gradient(jnp.abs(x).max(-1, keepdims=True, initial=0))
    x = _divided(x, jnp.where(largest > 0, largest, 1))
    square = (x * x).sum(-1, keepdims=True)
    return jnp.where(square == 0, 0, x / jnp.sqrt(jnp.where(square == 0, 1, square)))


def _divided(x: jax.Array, by: jax.Array) -> jax.Array:
    """A quotient, also by numbers whose reciprocal XLA would flush to 0."""
    unit = jnp.where(by > 2.0 ** -jnp.finfo(by.dtype).minexp, 4, 1).astype(by.dtype)
    return (x / unit) / (by / unit)


def _as_map(x: ArrayLike) -> jax.Array:
    array = as_array(x, name="x")
    if array.ndim < 3 or not array.shape[-3] or not array.shape[-2]:
        raise ShapeError(f"expected a map (*batch, height, width, channels) with positions; got x.shape={array.shape}.")
    return array
