"""The dtypes of bilinear operations."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn._arrays import accumulator_dtype, common_dtype, kind_of_dtype

BYTES = ("int8", "uint8")


class BilinearDtypes(NamedTuple):
    """The dtypes of a bilinear operation.

    Attributes:
        dtype: of both operands.
        preferred_element_type: as in ``jax.lax``, the dtype to sum in; None if it is the dtype of the operands.
        result_dtype: of the result.
    """

    dtype: Any
    preferred_element_type: Any
    result_dtype: Any


def bilinear_dtypes(x: Any, kernel: Any, bias: Any, preferred_element_type: Any) -> BilinearDtypes:
    """The dtypes for operands that are arrays, or dtypes; the bias may be None.

    Mixed types promote as JAX's do by default; integers narrower than 32 bits become int32, so that sums do not wrap.
    With ``preferred_element_type`` the products are summed in that dtype, and the result has it.

    Bytes are not converted first: XLA sums their products in int32, on CPUs many times as fast as those of int32.

    >>> bilinear_dtypes("uint8", "int8", None, None).dtype
    dtype('int32')
    >>> bilinear_dtypes("int8", "int8", None, None)[:2]
    (dtype('int8'), dtype('int32'))
    """
    if preferred_element_type is None:
        dtype = common_dtype(x, kernel) if bias is None else common_dtype(x, kernel, bias)
        dtype = accumulator_dtype(dtype) if kind_of_dtype(dtype) == "integer" else dtype
        narrow = common_dtype(x, kernel)
        if narrow in BYTES and dtype == jnp.int32:
            return BilinearDtypes(narrow, dtype, dtype)
        return BilinearDtypes(dtype, None, dtype)
    dtype, result = common_dtype(x, kernel), jnp.dtype(preferred_element_type)
    if kind_of_dtype(dtype) == kind_of_dtype(result) and dtype.itemsize < result.itemsize:
        return BilinearDtypes(dtype, result, result)  # the hardware may widen as it sums
    return BilinearDtypes(common_dtype(dtype, result), None, result)


def operands(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, preferred_element_type: Any
) -> tuple[jax.Array, jax.Array, Any, Any]:
    """``x`` and ``kernel`` in their common dtype, the ``preferred_element_type`` for XLA, and the result's dtype."""
    dtypes = bilinear_dtypes(x, kernel, bias, preferred_element_type)
    return x.astype(dtypes.dtype), kernel.astype(dtypes.dtype), *dtypes[1:]
