"""The weighted sum of each window, with one kernel of weights for all channels."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import Padding
from jaxcnn.functional._conv import conv
from jaxcnn.functional._pooling import end_cropped, plan_windows


def weighted_pool(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """The sum of ``x`` over each window with a weight for each entry, in each channel separately.

    ``y[..., o, c] = sum over j of kernel[j] * x[..., o * stride - before + j * dilation, c]``, with 0 outside ``x``.
    An incomplete window gives the weighted sum of the entries that it reads. Weights that sum to 1 give a weighted
    mean. The weights may be learned.

    Args:
        x: ``(*batch, *spatial, channels)``.
        kernel: one weight per entry of the window; its shape is the window and determines the number of spatial axes.
        strides: as in ``max_pool``, like ``padding``, ``window_dilation`` and ``ceil_mode``.

    Returns:
        ``(*batch, *out_spatial, channels)``, of the common type of ``x`` and ``kernel``; integers of fewer than 32
        bits are summed as int32.

    Raises:
        ShapeError: no window fits, options that do not match the number of axes, or a kernel without axes.
        ValueError: an unknown name of padding.
        TypeError: options of another kind.

    Source: Goodfellow, Bengio, Courville (2016), "Deep learning", section 9.3: pooling by a weighted average based on
    the distance from the central pixel.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> spike = jnp.array([0., 0., 4., 0., 0.])[:, None]
    >>> F.weighted_pool(spike, jnp.array([0.25, 0.5, 0.25]), strides=2, padding="SAME")[:, 0]
    Array([0., 2., 0.], dtype=float32)
    """
    x, kernel = as_arrays(x=x, kernel=kernel)
    if not kernel.ndim:
        raise ShapeError("the kernel is one number. Write one weight per entry of the window, as an array.")
    plan = plan_windows(x, kernel.shape, strides, padding, window_dilation, ceil_mode)
    first = x.ndim - 1 - len(plan)
    for i, axis in enumerate(plan):
        x = end_cropped(x, axis, first + i)
    depthwise = jnp.broadcast_to(kernel[..., None, None], (*kernel.shape, 1, x.shape[-1]))
    return conv(
        x,
        depthwise,
        strides=[axis.stride for axis in plan],
        padding=[(axis.before, axis.span - n - axis.before) for axis, n in zip(plan, x.shape[first:], strict=False)],
        kernel_dilation=[axis.dilation for axis in plan],
        feature_group_count=x.shape[-1],
        precision=lax.Precision.HIGHEST,
        preferred_element_type=None,
    )
