"""A warning if running statistics are mutable but the model is not in training mode."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from flax import linen
from flax.core.scope import in_filter

from jaxcnn._hints import warn_user


def warn_without_train(classes: Iterable[Any]) -> None:
    """Adds a warning about ``apply(..., mutable=["batch_stats"])`` without ``train`` to the models in ``classes``.

    Evaluation mode is the default and does not update the statistics, so the returned statistics would be unchanged.
    An explicit ``train=False`` gives no warning, and neither does ``mutable=True``, which names no collection.
    """
    for cls in classes:
        if isinstance(cls, type) and issubclass(cls, linen.Module):
            for name in ("__call__", "features"):
                method = vars(cls).get(name)
                if method is not None and "train" in inspect.signature(method).parameters:
                    setattr(cls, name, _checked(method))


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    position = list(inspect.signature(method).parameters).index("train")

    @functools.wraps(method)
    def call(self: linen.Module, *args: Any, **kwargs: Any) -> Any:
        if "train" not in kwargs and len(args) < position:
            _warn_if_statistics_are_to_change(self)
        return method(self, *args, **kwargs)

    return call


def _warn_if_statistics_are_to_change(model: linen.Module) -> None:
    scope = model.scope
    # Only for a whole model: a part of another network may be frozen deliberately.
    if scope is None or scope.parent is not None or model.is_initializing() or isinstance(scope.mutable, bool):
        return
    if "batch_stats" in model.variables and in_filter(scope.mutable, "batch_stats"):
        warn_user(
            f"{type(model).__name__}: batch_stats is mutable but not updated, because train is False by default. To "
            f"train: model.apply(variables, x, train=True, mutable=['batch_stats']). For evaluation, pass train=False."
        )
