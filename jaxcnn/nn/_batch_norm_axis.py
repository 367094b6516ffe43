"""One batch over many devices, for models that know nothing of devices."""

import contextlib
from collections.abc import Callable, Hashable
from typing import Any

from flax import linen

from jaxcnn.nn._batch_norm import BatchNorm


def batch_norm_axis(axis_name: Hashable) -> contextlib.AbstractContextManager[None]:
    """A context in which every batch norm that names no axis itself takes this ``axis_name``.

    It reaches all batch norms of a model, jaxcnn's and Flax's, however deep, so that a model written for one device
    shares its statistics in ``shard_map`` and ``pmap`` (PyTorch's ``convert_sync_batchnorm``). What a batch norm was
    given as ``axis_name`` stays. Under plain ``jit`` over a mesh there is no axis and no need of one.

    It is a ``flax.linen.intercept_methods``: write it inside of the function that is transformed, around ``apply``.

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
        # The same variables, since the same scope; the clone comes here again and goes the first way.
        shared: Any = module.clone(axis_name=axis_name, parent=module.scope)
        return shared(*args, **kwargs)

    return linen.intercept_methods(share)
