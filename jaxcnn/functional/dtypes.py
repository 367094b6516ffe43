"""Which dtype the arithmetic of several arrays happens in, the same under every promotion setting of JAX."""

from typing import Any

import jax
import jax.numpy as jnp


def common_dtype(*arrays: Any) -> Any:
    """The dtype that JAX's standard promotion of arrays and dtypes gives, also where the caller's setting is strict.

    >>> import jax.numpy as jnp
    >>> common_dtype(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float32))
    dtype('float32')
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*arrays)


def accumulator_dtype(dtype: Any) -> Any:
    """Where sums of products of this dtype fit: int32 for narrower integers, float32 for half precision.

    >>> accumulator_dtype("uint8"), accumulator_dtype("bfloat16"), accumulator_dtype("float64")
    (dtype('int32'), dtype('float32'), dtype('float64'))
    """
    dtype = jnp.dtype(dtype)
    if _kind(dtype) == "integer":
        return jnp.dtype("int32") if dtype.itemsize < 4 else dtype
    return jnp.dtype("float32") if _kind(dtype) == "floating" and dtype.itemsize < 4 else dtype


def operands(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, preferred_element_type: Any
) -> tuple[jax.Array, jax.Array, Any, Any]:
    """Brings the operands of a bilinear operation to one dtype.

    Mixed types promote as JAX's do by default; integers narrower than 32 bits become int32, so that sums do not wrap.
    With ``preferred_element_type`` the products are summed in that dtype and the result has it.

    Returns:
        ``x`` and ``kernel`` in the dtype to compute in, the ``preferred_element_type`` to hand to XLA (or None), and
        the dtype of the result.
    """
    if preferred_element_type is None:
        dtype = common_dtype(x, kernel) if bias is None else common_dtype(x, kernel, bias)
        work = accumulator_dtype(dtype) if _kind(dtype) == "integer" else dtype
        return x.astype(work), kernel.astype(work), None, work
    dtype, result = common_dtype(x, kernel), jnp.dtype(preferred_element_type)
    if _kind(dtype) == _kind(result) and dtype.itemsize < result.itemsize:
        return x.astype(dtype), kernel.astype(dtype), result, result  # the hardware may widen as it sums
    work = common_dtype(dtype, result)
    return x.astype(work), kernel.astype(work), None, result


def _kind(dtype: Any) -> str:
    """``integer`` (booleans count), ``floating`` or ``complex``; NumPy's own letter knows no bfloat16."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return "complex"
    return "floating" if jnp.issubdtype(dtype, jnp.floating) else "integer"
