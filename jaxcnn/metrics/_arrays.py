"""Checks of the arguments of measures: labels, scores and weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError


def as_numbers(value: Any, *, name: str) -> jax.Array:
    """One argument as a JAX array of real numbers.

    Raises:
        TypeError: something that is not made of real numbers.

    >>> as_numbers([1j], name="scores")
    Traceback (most recent call last):
    TypeError: scores must be real numbers, not complex64.
    """
    array = as_array(value, name=name)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real numbers, not {array.dtype}.")
    return array


def as_classes(value: Any, *, name: str, hint: str = "Of scores: scores.argmax(-1).") -> jax.Array:
    """An array of integers or booleans, one class each; ``hint`` ends the message about another dtype.

    Raises:
        TypeError: an array of another dtype.
        ValueError: an integer that does not fit into 32 bits.

    >>> as_classes([0.2, 0.8], name="predictions")
    Traceback (most recent call last):
    TypeError: predictions must be integers or booleans, one class each, not float32. Of scores: scores.argmax(-1).
    """
    if _has_wide_integers(value) and value.size:
        for extreme in (value.min(), value.max()):
            if not -(2**31) <= extreme < 2**31:
                raise ValueError(f"{name} has the class {extreme}, which does not fit into 32 bits.")
    array = as_numbers(value, name=name)
    if not jnp.issubdtype(array.dtype, jnp.integer) and array.dtype != jnp.bool_:
        raise TypeError(f"{name} must be integers or booleans, one class each, not {array.dtype}. {hint}")
    return array.astype(jnp.int32)


def as_floats(value: Any, *, name: str) -> jax.Array:
    """An array of at least float32.

    Raises:
        TypeError: something that is not made of real numbers.

    >>> as_floats(np.array([3_000_000_000]), name="matrix")
    Array([3.e+09], dtype=float32)
    """
    if _has_wide_integers(value):
        value = value.astype(np.float64)  # JAX would keep their last 32 bits
    array = as_numbers(value, name=name)
    wide = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize >= 4
    return array if wide else array.astype(jnp.float32)


def _has_wide_integers(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "iu" and value.dtype.itemsize == 8


def same_shape(one: jax.Array, other: jax.Array, *, names: tuple[str, str]) -> None:
    """Refuses two arrays of different shapes.

    Raises:
        ShapeError: they differ.
    """
    if one.shape != other.shape:
        raise ShapeError(
            f"{names[0]} and {names[1]} must have the same shape, but {names[0]}.shape={one.shape} and "
            f"{names[1]}.shape={other.shape}."
        )


def scores_of_classes(labels: ArrayLike, scores: ArrayLike, *, name: str) -> tuple[jax.Array, jax.Array]:
    """Labels ``(...)`` and scores ``(..., classes)``.

    Raises:
        ShapeError: the leading axes of the scores are not those of the labels.
        TypeError: labels that are not integers, or scores that are not real numbers.
    """
    classes, floats = as_classes(labels, name="labels"), as_floats(scores, name=name)
    if floats.ndim == 0 or floats.shape[:-1] != classes.shape or not floats.shape[-1]:
        raise ShapeError(
            f"{name} must have the shape of labels and an axis of classes after it, but labels.shape={classes.shape} "
            f"and {name}.shape={floats.shape}."
        )
    return classes, floats


def as_weights(weights: ArrayLike | None, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """One weight for each entry of an array; of fewer axes where all entries of an example have one weight.

    Args:
        weights: of a shape that ``shape`` starts with; None is 1 for each.
        shape: of the array.
        dtype: of the result.

    Raises:
        ShapeError: another shape.
        TypeError: weights that are not real numbers.

    >>> as_weights([True, False], (2, 3), "float32")
    Array([[1., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    if weights is None:
        return jnp.ones(shape, dtype)
    array = as_numbers(weights, name="weights").astype(dtype)
    if array.shape != shape[: array.ndim]:
        raise ShapeError(
            f"weights must have the shape {shape}, or the first axes of it, but weights.shape={array.shape}."
        )
    return jnp.broadcast_to(array.reshape(array.shape + (1,) * (len(shape) - array.ndim)), shape)


def weighted(values: jax.Array, weights: jax.Array) -> jax.Array:
    """``values * weights``, and 0 where the weight is 0, even if the value there is NaN (as in a padded example)."""
    return jnp.where(weights == 0, 0, values * weights)


def weighted_mean(values: jax.Array, weights: ArrayLike | None) -> jax.Array:
    """``sum of w * v / sum of w``; NaN where all weights are 0."""
    each = as_weights(weights, values.shape, values.dtype)
    return weighted(values, each).sum() / each.sum()
