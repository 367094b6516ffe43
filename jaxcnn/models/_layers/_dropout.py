"""Dropout whose rate is checked."""

import numbers

from flax import linen as nn


def dropout_layer(rate: float, *, train: bool) -> nn.Dropout:
    """The layer that sets a fraction of its input to 0 in training, and scales the rest by ``1 / (1 - rate)``.

    Args:
        rate: the fraction.
        train: whether it drops anything; requires an rng named ``dropout`` then.

    Raises:
        ValueError: a rate that is not a number from 0 to below 1.

    >>> dropout_layer(2.0, train=True)
    Traceback (most recent call last):
    ValueError: dropout_rate=2.0 must be at least 0 and less than 1, such as 0.5.
    """
    if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
        raise ValueError(f"dropout_rate={rate!r} must be at least 0 and less than 1, such as 0.5.")
    return nn.Dropout(rate, deterministic=not train)
