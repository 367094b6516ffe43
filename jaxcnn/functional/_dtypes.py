"""The dtypes of bilinear operations."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._arrays import accumulator_dtype, common_dtype, kind_of_dtype


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
        work = accumulator_dtype(dtype) if kind_of_dtype(dtype) == "integer" else dtype
        return x.astype(work), kernel.astype(work), None, work
    dtype, result = common_dtype(x, kernel), jnp.dtype(preferred_element_type)
    if kind_of_dtype(dtype) == kind_of_dtype(result) and dtype.itemsize < result.itemsize:
        return x.astype(dtype), kernel.astype(dtype), result, result  # the hardware may widen as it sums
    work = common_dtype(dtype, result)
    return x.astype(work), kernel.astype(work), None, result
