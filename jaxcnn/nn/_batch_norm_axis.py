"""Batch statistics over several devices, for models without an ``axis_name``."""

import contextlib
from collections.abc import Callable, Hashable
from typing import Any

from flax import linen

from jaxcnn.nn._batch_norm import BatchNorm


def batch_norm_axis(axis_name: Hashable) -> contextlib.AbstractContextManager[None]:
    """A context manager that sets the ``axis_name`` of every batch norm that has none.

    It applies to all batch norms of a model, jaxcnn's and Flax's, at any depth, so that a model written for one device
    shares its statistics in ``shard_map`` and ``pmap`` (PyTorch's ``convert_sync_batchnorm``). A batch norm with an
    ``axis_name`` is not changed. Under plain ``jit`` over a mesh no axis name is needed.

    It uses ``flax.linen.intercept_methods``: write it within the transformed function, around ``apply``.

    Args:
        axis_name: the axis of ``shard_map``, ``pmap`` or ``vmap`` (or several) whose parts are one batch.

    Returns:
        the context manager.

    >>> import jax, jax.numpy as jnp
    >>> layer = BatchNorm(use_running_average=False, use_bias=False, use_scale=False)
    >>> x = jnp.array([[[1.0], [3.0]], [[5.0], [7.0]]])  # two devices, two examples each
    >>> def whole(x):
    ...     with batch_norm_axis("devices"):
    ...         return layer.apply({"batch_stats": {"mean": jnp.zeros(1), "var": jnp.ones(1)}}, x, mutable=True)[0]
    >>> print((2 * jax.vmap(whole, axis_name="devices")(x)).ravel().round())
    [-3. -1.  1.  3.]
    """

    def share(
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: linen.module.InterceptorContext,
    ) -> Any:
        module = context.module
        known = isinstance(module, BatchNorm | linen.BatchNorm) and context.method_name == "__call__"
        if not known or module.axis_name is not None:
            return call(*args, **kwargs)
        # The clone has the same scope, so the same variables. Its call is intercepted as well and returns above.
        shared: Any = module.clone(axis_name=axis_name, parent=module.scope)
        return shared(*args, **kwargs)

    return linen.intercept_methods(share)
