"""Batch normalisation as a module, with the arguments and the variables of Flax's module."""

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.typing import Initializer
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array, common_dtype
from jaxcnn._geometry import feature_axes, full_rank_mask
from jaxcnn.functional import BatchStats, batch_norm


class BatchNorm(linen.Module):
    """``functional.batch_norm`` with its variables, a drop-in for ``flax.linen.BatchNorm``.

    The arguments, their order and defaults, and the variables are those of Flax: ``scale`` and ``bias`` in ``params``,
    ``mean`` and ``var`` in ``batch_stats``. So a Flax checkpoint loads unchanged. With ``unbiased=False`` the results
    are those of Flax as well.

    Differences: the running variance is unbiased, as in the paper and in PyTorch; the variance is always computed about
    the mean and in at least float32; ``momentum=None`` averages all batches equally and counts them in a variable
    ``count`` in ``batch_stats``; a mask of lower rank is aligned with the leading axes.

    Attributes:
        use_running_average: whether to normalise by the running statistics; given here or in the call.
        axis: the axis (or axes) of the features; statistics are reduced over all other axes.
        momentum: weight of the old statistics; None averages all batches equally.
        epsilon: added to the variance.
        dtype: of the result; None infers it from input and parameters.
        param_dtype: of the parameters.
        use_bias: whether to add a bias.
        use_scale: whether to multiply by a scale.
        bias_init: initializer of the bias.
        scale_init: initializer of the scale.
        axis_name: the axis of ``shard_map``, ``pmap`` or ``vmap`` whose parts are one batch; not used by ``init``.
        axis_index_groups: groups of indices of that axis, each of which is one batch.
        use_fast_variance: has no effect. Flax's fast variance is a difference of squares, which loses a variance of 1
            completely for a mean of 1e4.
        force_float32_reductions: False gives the running statistics the dtype ``param_dtype``. Sums are in at least
            float32 either way.
        unbiased: the factor ``m / (m - 1)`` of the running variance (keyword only, not in Flax).

    >>> import jax, jax.numpy as jnp
    >>> layer = BatchNorm(momentum=0.5)
    >>> x = jnp.array([[1.0], [3.0]])
    >>> variables = layer.init(jax.random.key(0), x, use_running_average=True)
    >>> y, updates = layer.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
    >>> print(y.T.round(2), updates["batch_stats"]["mean"], updates["batch_stats"]["var"])
    [[-1.  1.]] [1.] [1.5]
    """

    use_running_average: bool | None = None
    axis: int | Sequence[int] = -1
    momentum: float | None = 0.99
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = linen.initializers.zeros
    scale_init: Initializer = linen.initializers.ones
    axis_name: Hashable | None = None
    axis_index_groups: Sequence[Sequence[int]] | None = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True
    unbiased: bool = dataclasses.field(default=True, kw_only=True)

    @linen.compact
    def __call__(
        self, x: ArrayLike, use_running_average: bool | None = None, *, mask: ArrayLike | None = None
    ) -> jax.Array:
        """Normalises ``x``, and in training updates the running statistics if ``batch_stats`` is mutable.

        Args:
            x: the input; its shape is that of the result.
            use_running_average: whether to normalise by the running statistics; given here or in the constructor.
            mask: true for entries that are included in the statistics; broadcastable to ``x``, or of its leading axes.
        """
        x = as_array(x, name="x")
        use_running_average = linen.merge_param("use_running_average", self.use_running_average, use_running_average)
        if isinstance(use_running_average, int) and use_running_average not in (0, 1):
            raise TypeError(
                f"use_running_average must be True or False, not {use_running_average}. The number of "
                f"features is read from the input."
            )
        axes = feature_axes(self.axis, x.shape)
        shape = tuple(x.shape[axis] for axis in axes)
        mean, var, count = self._statistics(shape)
        scale = self.param("scale", self.scale_init, shape, self.param_dtype) if self.use_scale else None
        bias = self.param("bias", self.bias_init, shape, self.param_dtype) if self.use_bias else None
        y, stats = batch_norm(
            _merge_features(x, axes),
            BatchStats(_flat(mean.value), _flat(var.value), count.value if count else jnp.zeros(())),
            scale=None if scale is None else _flat(scale),
            bias=None if bias is None else _flat(bias),
            train=not use_running_average,
            momentum=self.momentum,
            epsilon=self.epsilon,
            axis_name=None if self.is_initializing() else self.axis_name,
            axis_index_groups=self.axis_index_groups,
            mask=None if mask is None else _merge_mask(as_array(mask, name="mask"), x.shape, axes),
            unbiased=self.unbiased,
            dtype=self._result_dtype(x, scale, bias),
        )
        if not use_running_average and not self.is_initializing():
            mean.value, var.value = stats.mean.reshape(shape), stats.var.reshape(shape)
            if count:
                count.value = stats.count
        return _split_features(y, x.shape, axes)

    def _statistics(self, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
        """The variables of the running statistics; the count exists only with ``momentum=None``."""
        dtype = jnp.float32 if self.force_float32_reductions else self.param_dtype
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, dtype)
        count = self.variable("batch_stats", "count", jnp.zeros, ()) if self.momentum is None else None
        return mean, var, count

    def _result_dtype(self, *arrays: jax.Array | None) -> Any:
        """Flax's rule: the promoted dtype of input and parameters, and float32 for integers."""
        if self.dtype is not None:
            return self.dtype
        dtype = common_dtype(*(array for array in arrays if array is not None))
        return dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.float32


def _flat(values: jax.Array) -> jax.Array:
    """The values with one axis, without an operation if they have one."""
    return values if values.ndim == 1 else values.reshape(-1)


def _merge_features(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """``x`` with its feature axes merged into the last axis."""
    if axes == (x.ndim - 1,):
        return x
    x = jnp.moveaxis(x, axes, range(-len(axes), 0))
    rest = x.ndim - len(axes)
    return x.reshape(*x.shape[:rest], math.prod(x.shape[rest:]))


def _split_features(y: jax.Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> jax.Array:
    """The inverse of ``_merge_features``."""
    if axes == (len(shape) - 1,):
        return y
    y = y.reshape(*y.shape[:-1], *(shape[axis] for axis in axes))
    return jnp.moveaxis(y, range(-len(axes), 0), axes)


def _merge_mask(mask: jax.Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> jax.Array:
    """The mask of an input whose feature axes are merged."""
    if axes == (len(shape) - 1,):
        return mask
    mask = mask.reshape(full_rank_mask(mask.shape, shape))
    return _merge_features(jnp.broadcast_to(mask, shape), axes)
