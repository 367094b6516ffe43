"""The maximum or minimum over windows; the first one receives the gradient."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import Padding, check_index_range
from jaxcnn.functional._pooling import MAXIMUM, MINIMUM, as_ordered, extremum_of_windows, plan_windows, spatial_index


def max_pool(
    x: ArrayLike,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """The maximum of ``x`` over each window.

    ``y[..., o, c] = max over j of x[..., o * stride - before + j * dilation, c]`` on each axis, over the entries in
    ``x``. Padding is never the maximum, even if all entries are ``-inf``. Among equal maxima the first in row-major
    order receives the whole gradient, as in Flax. NaN is greater than any number. The result of a window that contains
    only padding is the least value of the type, ``-inf`` for floating types, and its gradient is zero.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type: floating, integer or boolean.
        window_shape: one integer per spatial axis; it determines the number of spatial axes.
        strides: steps between windows. There is no default, because libraries differ in theirs.
        padding: as in ``conv``; no entry of the padding is a maximum.
        window_dilation: steps between the entries of a window.
        ceil_mode: whether to include an incomplete last window, unless it would start in the padding after ``x``.

    Returns:
        ``(*batch, *out_spatial, channels)``, of the type of ``x``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        ValueError: an unknown name of padding.
        TypeError: options of another kind, or complex numbers, which have no order.

    Source: Ranzato et al. (2007), "Unsupervised learning of invariant feature hierarchies with applications to object
    recognition", section 3; Goodfellow, Bengio, Courville (2016), "Deep learning", section 9.3.

    >>> import jax, jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([[0., 3., 1.], [3., 2., 1.], [0., 0., 5.]])[:, :, None]
    >>> F.max_pool(x, (2, 2), strides=1)[..., 0]
    Array([[3., 3.],
           [3., 5.]], dtype=float32)
    >>> jax.grad(lambda x: F.max_pool(x, (2, 2), strides=2).sum())(x)[..., 0]  # of two threes the first
    Array([[0., 1., 0.],
           [0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    x = as_ordered(x)
    plan = plan_windows(x, window_shape, strides, padding, window_dilation, ceil_mode)
    return extremum_of_windows(x, plan, MAXIMUM)[0]


def min_pool(
    x: ArrayLike,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """The minimum of ``x`` over each window: ``max_pool`` with the order reversed.

    The first minimum in row-major order gets the whole gradient. NaN is less than any number. A window that reads only
    padding gives the greatest value of the type. On binary images this is the morphological erosion.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type: floating, integer or boolean.
        window_shape: one integer per spatial axis; it determines the number of spatial axes.
        strides: as in ``max_pool``, like ``padding``, ``window_dilation`` and ``ceil_mode``.

    Returns:
        ``(*batch, *out_spatial, channels)``, of the type of ``x``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        ValueError: an unknown name of padding.
        TypeError: options of another kind, or complex numbers, which have no order.

    Source: Serra (1982), "Image analysis and mathematical morphology": erosion by a flat structuring element.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.min_pool(jnp.array([4, 1, 3, 2, 5], jnp.uint8)[:, None], (3,), strides=1, padding="SAME")[:, 0]
    Array([1, 1, 1, 2, 2], dtype=uint8)
    """
    x = as_ordered(x)
    plan = plan_windows(x, window_shape, strides, padding, window_dilation, ceil_mode)
    return extremum_of_windows(x, plan, MINIMUM)[0]


def max_pool_with_indices(
    x: ArrayLike,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """The maximum of ``x`` over each window, and its index in ``x``.

    An index counts the spatial axes of ``x`` in row-major order, padding not included: in two dimensions it is
    ``row * width + column``. Of equal maxima the index is that of the first. ``max_unpool`` puts values back
    by these indices.

    Args:
        x: ``(*batch, *spatial, channels)``, of a real type: floating, integer or boolean.
        window_shape: one integer per spatial axis; it determines the number of spatial axes.
        strides: as in ``max_pool``, like ``padding``, ``window_dilation`` and ``ceil_mode``.

    Returns:
        The maxima, as ``max_pool`` gives them, and int32 indices of the same shape, -1 for a window that reads only
        padding. Indices have no derivative.

    Raises:
        ShapeError: no window fits, options that do not match the number of axes, or more than ``2**31 - 1`` positions.
        ValueError: an unknown name of padding.
        TypeError: options of another kind, or complex numbers, which have no order.

    Source: Zeiler, Taylor, Fergus (2011), "Adaptive deconvolutional networks for mid and high level feature
    learning", section 2: the switches of max pooling.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> x = jnp.array([[7., 0., 0., 1.], [0., 0., 9., 0.]])[:, :, None]
    >>> y, indices = F.max_pool_with_indices(x, (2, 2), strides=2)
    >>> y[..., 0], indices[..., 0]
    (Array([[7., 9.]], dtype=float32), Array([[0, 6]], dtype=int32))
    """
    x = as_ordered(x)
    plan = plan_windows(x, window_shape, strides, padding, window_dilation, ceil_mode)
    check_index_range([axis.size for axis in plan], name="the spatial shape of x")
    index = jnp.broadcast_to(spatial_index(plan, x.ndim), x.shape)
    y, where = extremum_of_windows(x, plan, MAXIMUM, index)
    assert where is not None  # as an index was given
    return y, where
