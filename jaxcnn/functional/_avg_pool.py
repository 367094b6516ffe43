"""The average over windows."""

import functools
from collections.abc import Sequence

import jax

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import Padding, PoolPlan
from jaxcnn.functional._pooling import as_float, divided, plan_windows, read_mask, widened, window_sum


def avg_pool(
    x: ArrayLike,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> jax.Array:
    """The average of ``x`` over each window.

    ``y[..., o, c] = sum over j of x[..., o * stride - before + j * dilation, c] / n(o)``, with 0 outside ``x``, and
    ``n(o)`` the number of entries of ``x`` in the window. ``count_include_pad=True`` counts padded zeros as well, but
    not the positions beyond the padded input that ``ceil_mode`` adds. A window that reads only padding gives 0.

    Args:
        x: ``(*batch, *spatial, channels)``. Integers are averaged in the default floating type; types of fewer than
            32 bits are summed in float32.
        window_shape: one integer per spatial axis; it determines the number of spatial axes.
        strides: as in ``max_pool``, like ``padding``, ``window_dilation`` and ``ceil_mode``.
        count_include_pad: whether padded zeros count in the average, as they do by default in Flax and PyTorch.

    Returns:
        ``(*batch, *out_spatial, channels)``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        ValueError: an unknown name of padding.
        TypeError: options of another kind, or booleans to average.

    Source: LeCun et al. (1989), "Backpropagation applied to handwritten zip code recognition"; the rules of
    ``ceil_mode`` and ``count_include_pad`` are those of PyTorch and ONNX.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> ramp = jnp.arange(1.0, 6.0)[:, None]
    >>> F.avg_pool(ramp, (2,), strides=2)[:, 0]
    Array([1.5, 3.5], dtype=float32)
    >>> F.avg_pool(ramp, (2,), strides=2, padding="SAME")[:, 0]  # the last window holds the 5 alone
    Array([1.5, 3.5, 5. ], dtype=float32)
    >>> F.avg_pool(ramp, (2,), strides=2, padding="SAME", count_include_pad=True)[:, 0]
    Array([1.5, 3.5, 2.5], dtype=float32)
    """
    x = as_float(x)
    if not isinstance(count_include_pad, bool):
        raise TypeError(f"count_include_pad is True or False, not {count_include_pad!r}.")
    plan = plan_windows(x, window_shape, strides, padding, window_dilation, ceil_mode)
    return _average(x, plan, count_include_pad)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _average(x: jax.Array, plan: PoolPlan, include_pad: bool) -> jax.Array:
    counts = [read_mask(axis, include_pad=include_pad).sum(1) for axis in plan]
    return divided(window_sum(widened(x), plan), counts, x.ndim - 1 - len(plan)).astype(x.dtype)
