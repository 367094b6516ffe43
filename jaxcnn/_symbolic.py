"""Sizes that may be symbolic dimensions of JAX, such as the batch of an exported program, without importing jax.

A symbolic dimension supports integer arithmetic. A comparison raises where the outcome depends on its value, and
``==`` is False there; the functions here decide such cases instead. As in JAX, a symbolic dimension is at least 1.
"""

from typing import Any


def is_symbolic(size: object) -> bool:
    """Whether a size is a symbolic dimension: JAX recognises them by the same attribute."""
    return hasattr(size, "dimension_as_value")


def larger(one: int, other: int) -> int:
    """The larger of two sizes, which is symbolic where it depends on the values of symbolic dimensions.

    >>> larger(3, 5)
    5
    """
    if is_symbolic(one) or is_symbolic(other):
        first: Any = one
        second: Any = other
        return first.max(second) if is_symbolic(one) else second.rmax(first)
    return max(one, other)


def smaller(one: int, other: int) -> int:
    """The smaller of two sizes, which is symbolic where it depends on the values of symbolic dimensions.

    >>> smaller(3, 5)
    3
    """
    return -larger(-one, -other)


def is_less(one: int, other: int) -> bool:
    """Whether one size is less than another for all values of symbolic dimensions.

    >>> is_less(3, 5), is_less(5, 5)
    (True, False)
    """
    return bool(larger(one, other - 1) == other - 1)
