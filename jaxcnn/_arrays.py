"""Conversion of arguments to arrays, and dtypes of arithmetic, the same under every promotion setting of JAX."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import jax.typing
import numpy as np

# The array arguments of public functions. JAX's own type does not include lists, which as_array accepts too.
ArrayLike: TypeAlias = jax.typing.ArrayLike | list[Any] | tuple[Any, ...]


def as_arrays(**arrays: ArrayLike) -> tuple[jax.Array, ...]:
    """Each argument as a JAX array, in the given order; called in the first line of a public function of arrays.

    Raises:
        TypeError: something that is not made of numbers.

    >>> x, kernel = as_arrays(x=[1.0, 2.0], kernel=np.ones(3, np.int8))
    >>> x.dtype, kernel.dtype
    (dtype('float32'), dtype('int8'))
    """
    return tuple(as_array(array, name=name) for name, array in arrays.items())


def as_optional_arrays(**arrays: ArrayLike | None) -> tuple[jax.Array | None, ...]:
    """As ``as_arrays``, but None stays None.

    Raises:
        TypeError: something else that is not made of numbers.
    """
    return tuple(None if array is None else as_array(array, name=name) for name, array in arrays.items())


def as_array(value: ArrayLike, *, name: str) -> jax.Array:
    """One argument as a JAX array. NumPy arrays of the other byte order are converted.

    Raises:
        TypeError: something that is not made of numbers, such as None, text, or Python objects.

    >>> as_array(["cat", "dog"], name="x")
    Traceback (most recent call last):
    TypeError: x must be an array of numbers, not a list of str.
    """
    if isinstance(value, jax.Array):
        return value
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        if "numpy_dtype_promotion" in str(error):  # a list of mixed dtypes, under strict promotion
            raise
        raise TypeError(f"{name} must be an array of numbers, not {_kind(value)}.") from None


def _kind(value: Any) -> str:
    """The type of an argument, for an error message."""
    if isinstance(value, np.ndarray | np.generic):
        return f"an array of dtype {value.dtype}"
    if isinstance(value, list | tuple) and value:
        return f"a {type(value).__name__} of {type(value[0]).__name__}"
    return "None" if value is None else f"of type {type(value).__name__}"


def common_dtype(*arrays: Any) -> Any:
    """The dtype that JAX's standard promotion of arrays and dtypes gives, also where the caller's setting is strict.

    >>> import jax.numpy as jnp
    >>> common_dtype(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float32))
    dtype('float32')
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*arrays)


def accumulator_dtype(dtype: Any) -> Any:
    """The dtype in which products of this dtype are summed: int32 for narrower integers, float32 for half precision.

    >>> accumulator_dtype("uint8"), accumulator_dtype("bfloat16"), accumulator_dtype("float64")
    (dtype('int32'), dtype('float32'), dtype('float64'))
    """
    dtype = jnp.dtype(dtype)
    if kind_of_dtype(dtype) == "integer":
        return jnp.dtype("int32") if dtype.itemsize < 4 else dtype
    return jnp.dtype("float32") if kind_of_dtype(dtype) == "floating" and dtype.itemsize < 4 else dtype


def kind_of_dtype(dtype: Any) -> str:
    """``integer`` (for booleans too), ``floating`` or ``complex``; NumPy's ``dtype.kind`` does not support bfloat16."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return "complex"
    return "floating" if jnp.issubdtype(dtype, jnp.floating) else "integer"
