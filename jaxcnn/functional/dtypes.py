"""Which dtype the arithmetic of several arrays happens in, the same under every promotion setting of JAX."""

from typing import Any

import jax
import jax.numpy as jnp


def common_dtype(*arrays: jax.Array) -> Any:
    """The dtype that JAX's standard promotion gives, also where the caller's setting is strict.

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
    if dtype.kind in "biu" and dtype.itemsize < 4:
        return jnp.dtype("int32")
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
        return jnp.dtype("float32")
    return dtype


def operands(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, preferred_element_type: Any
) -> tuple[jax.Array, jax.Array, Any, Any]:
    """Brings the operands of a bilinear operation to one dtype.

    Mixed types promote as in NumPy-style JAX; integers narrower than 32 bits become int32, so that sums do not wrap.
    With ``preferred_element_type`` the products are summed in that dtype and the result has it.

    Returns:
        ``x`` and ``kernel`` in the dtype to compute in, the ``preferred_element_type`` to hand to XLA (or None), and
        the dtype of the result.
    """
    arrays = (x, kernel) if bias is None or preferred_element_type is not None else (x, kernel, bias)
    dtype = common_dtype(*arrays)
    if preferred_element_type is None:
        work = accumulator_dtype(dtype) if dtype.kind in "biu" else dtype
        return x.astype(work), kernel.astype(work), None, work
    result = jnp.dtype(preferred_element_type)
    if dtype.kind == result.kind and dtype.itemsize < result.itemsize:
        return x.astype(dtype), kernel.astype(dtype), result, result
    work = jnp.dtype(jnp.promote_types(dtype, result)) if dtype.kind != "b" else result
    return x.astype(work), kernel.astype(work), None, result
