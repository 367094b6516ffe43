"""Dropout whose rate is checked."""

from flax import linen as nn


def dropout_layer(rate: float, *, train: bool) -> nn.Dropout:
    """The layer that sets a fraction of its input to 0 in training, and scales the rest by ``1 / (1 - rate)``.

    Args:
        rate: the fraction.
        train: whether it drops anything; requires an rng named ``dropout`` then.

    Raises:
        TypeError: a rate that is not a number.
        ValueError: a rate below 0, or of 1 and above.

    >>> dropout_layer(2.0, train=True)
    Traceback (most recent call last):
    ValueError: dropout_rate=2.0 must be at least 0 and less than 1, such as 0.5.
    """
    if isinstance(rate, str | bool) or not hasattr(rate, "__float__"):
        raise TypeError(f"dropout_rate must be a number, such as 0.5, not {rate!r}.")
    if not 0 <= float(rate) < 1:
        raise ValueError(f"dropout_rate={rate!r} must be at least 0 and less than 1, such as 0.5.")
    return nn.Dropout(float(rate), deterministic=not train)
