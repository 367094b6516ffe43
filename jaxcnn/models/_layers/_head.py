"""The last layer of a model, which is optional."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from jaxcnn._axes import as_int


def check_classes(num_classes: int) -> int:
    """The number of classes, 0 for a model without a head.

    Raises:
        ValueError: a negative number.
        TypeError: not an integer.

    >>> check_classes(10)
    10
    """
    classes = as_int(num_classes, name="num_classes")
    if classes < 0:
        raise ValueError(f"num_classes={classes} must be at least 1, or 0 for features without a head.")
    return classes


def classifier(num_classes: int, **options: Any) -> Callable[[jax.Array], jax.Array]:
    """A dense layer that computes logits; with ``num_classes=0`` the identity, as in timm.

    Args:
        num_classes: number of logits, or 0.
        **options: of ``flax.linen.Dense``.

    Raises:
        ValueError: a negative number of classes.
        TypeError: a number of classes that is not an integer.
    """
    if check_classes(num_classes) == 0:
        return lambda features: features
    return nn.Dense(num_classes, **options)


def require_classes(num_classes: int, *, instead: str) -> None:
    """Raises for ``num_classes=0`` in a model that has no vector of features to return.

    Raises:
        ValueError: 0 or a negative number.
        TypeError: not an integer.
    """
    if check_classes(num_classes) == 0:
        raise ValueError(f"num_classes=0 would leave no output: {instead}.")
