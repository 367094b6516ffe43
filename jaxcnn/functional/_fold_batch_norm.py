"""Batch normalisation with fixed statistics as part of the linear layer before it."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, accumulator_dtype, as_array, as_arrays, as_optional_arrays
from jaxcnn._axes import as_int
from jaxcnn._geometry import check_per_channel, group_in_channels
from jaxcnn.functional._batch_norm import BatchStats


def fold_batch_norm(
    kernel: ArrayLike,
    bias: ArrayLike | None,
    stats: BatchStats,
    *,
    scale: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    epsilon: float = 1e-5,
    transposed: bool = False,
    feature_group_count: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """Kernel and bias of one layer that equals a convolution and the batch norm after it at inference.

    With ``factor = scale / sqrt(stats.var + epsilon)`` for each output channel, ``kernel * factor`` and
    ``(bias - stats.mean) * factor + offset``. It holds wherever each output channel is linear in its own part of the
    kernel: convolutions with any strides, padding and groups, and dense layers.

    Args:
        kernel: ``(*window, in_channels // groups, out_channels)``, or any other whose last axis is the output channel
            (dense ``(in, out)``, unshared, tiled); with ``transposed=True`` the kernel of ``conv_transpose``,
            ``(*window, out_channels // groups, in_channels)``.
        bias: of the convolution, one number per output channel, or None for 0.
        stats: the statistics of the batch norm.
        scale: of the batch norm, a number per channel, or None for 1.
        offset: the bias of the batch norm, a number per channel, or None for 0.
        epsilon: that of the batch norm.
        transposed: whether the kernel is that of ``conv_transpose``.
        feature_group_count: groups of a transposed kernel. The layout of other kernels does not depend on it.

    Returns:
        a kernel of the same shape and dtype, and a bias in the dtype of ``bias``, or of ``kernel`` where there is none
        or it is of integers.

    Raises:
        ShapeError: a kernel whose number of output channels differs from that of ``stats``, or vectors of another size.
        TypeError: a kernel of integers.

    Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
    inference (2018), equation 14.

    >>> import jax.numpy as jnp
    >>> stats = BatchStats(mean=jnp.array([1.0, 2]), var=jnp.array([4.0, 0.25]), count=1)
    >>> kernel, bias = fold_batch_norm(jnp.ones((1, 1, 2)), None, stats, epsilon=0)
    >>> print(kernel, bias)
    [[[0.5 2. ]]] [-0.5 -4. ]
    """
    if not isinstance(stats, BatchStats):
        raise TypeError(f"stats must be a BatchStats, not {type(stats).__name__}.")
    kernel = as_array(kernel, name="kernel")
    bias, scale, offset = as_optional_arrays(bias=bias, scale=scale, offset=offset)
    mean, var = as_arrays(**{"stats.mean": stats.mean, "stats.var": stats.var})
    if not jnp.issubdtype(kernel.dtype, jnp.inexact):
        raise TypeError(f"the kernel must have floating numbers, not {kernel.dtype}.")
    bias = jnp.zeros(mean.shape, kernel.dtype) if bias is None else bias
    vectors = {"stats.mean": mean, "stats.var": var, "bias": bias, "scale": scale, "offset": offset}
    shapes = {name: vector.shape for name, vector in vectors.items() if vector is not None}
    check_per_channel(mean.shape, shapes)
    groups = as_int(feature_group_count, name="feature_group_count")
    group_in = group_in_channels(kernel.shape, mean.size, transposed=transposed, groups=groups)

    work = accumulator_dtype(kernel.dtype)
    factor = lax.rsqrt(var.astype(work) + epsilon)
    if scale is not None:
        factor = factor * scale.astype(work)
    folded = (bias.astype(work) - mean.astype(work)) * factor
    if offset is not None:
        folded = folded + offset.astype(work)
    if transposed:  # entry [o, i] belongs to output channel o of the group that i is in
        factor = jnp.repeat(factor.reshape(groups, -1), group_in, axis=0).T
    factor = factor.reshape((1,) * (kernel.ndim - factor.ndim) + factor.shape)
    bias_dtype = bias.dtype if jnp.issubdtype(bias.dtype, jnp.inexact) else kernel.dtype
    return (kernel.astype(work) * factor).astype(kernel.dtype), folded.astype(bias_dtype)
