"""Takes over how ``lax.conv_general_dilated`` is lowered on the CPU. What is private in JAX is named here alone."""

import contextlib
import contextvars
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import mlir

from jaxcnn._geometry import Arrangement, LaxConv, read_lax_conv
from jaxcnn.functional.lowering.choice import choose
from jaxcnn.functional.lowering.compute import compute_conv, compute_kernel_grad
from jaxcnn.functional.lowering.lowering import Operation
from jaxcnn.functional.lowering.primitives import is_partitioned

Rule = Callable[..., Any]

GONE = (
    "accelerate: this JAX ({version}) keeps its lowering rules elsewhere than the releases known to jaxcnn, so "
    "lax.conv_general_dilated stays XLA's own. jaxcnn.functional.conv is not affected. ({error})"
)

# Inside of a formulation, a convolution is XLA's own: it has been chosen already.
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside of a formulation", default=False)


@functools.cache
def stock_rule() -> Rule | None:
    """JAX's own rule for the CPU, or None, with a warning, where it is not to be found."""
    try:
        return mlir._platform_specific_lowerings["cpu"][lax.conv_general_dilated_p].rule
    except (AttributeError, KeyError) as error:
        warnings.warn(GONE.format(version=jax.__version__, error=repr(error)), RuntimeWarning, stacklevel=4)
        return None


def take_over(stock: Rule) -> None:
    """From here on, programs that are lowered for the CPU take the formulations of this library."""
    _register(functools.partial(_lower, stock))


def give_back(stock: Rule) -> None:
    """From here on, they take XLA's own again."""
    _register(stock)


def _register(rule: Rule) -> None:
    mlir.register_lowering(lax.conv_general_dilated_p, rule, platform="cpu")
    jax.clear_caches()  # programs that are compiled already would go on as they are


def _lower(stock: Rule, ctx: Any, lhs: Any, rhs: Any, **params: Any) -> Any:
    """XLA's own where nothing better is known, and where XLA will split the program over devices by itself."""
    (lhs_type, rhs_type), (out_type,) = ctx.avals_in, ctx.avals_out
    if _inside.get() or is_partitioned(ctx) or not _is_served(lhs_type, out_type, params):
        return stock(ctx, lhs, rhs, **params)
    call = read_lax_conv(lhs_type.shape, rhs_type.shape, out_type.shape, **_geometric(params))
    operation: Operation = "kernel_grad" if call.kernel_grad else "forward"
    if choose(call.geometry, lhs_type.dtype, operation, platform="cpu").algorithm == "xla":
        return stock(ctx, lhs, rhs, **params)
    with _formulation():
        compute = functools.partial(_compute, call, params["precision"], params["preferred_element_type"])
        return mlir.lower_fun(compute, multiple_results=False)(ctx, lhs, rhs)


def _compute(call: LaxConv, precision: Any, preferred_element_type: Any, lhs: jax.Array, rhs: jax.Array) -> jax.Array:
    options: dict[str, Any] = {"geometry": call.geometry, "algorithm": "auto", "platform": "cpu", "partitioned": False}
    x, second = _arrange(lhs, call.lhs), _arrange(rhs, call.rhs)
    if call.kernel_grad:
        result = compute_kernel_grad(x, second, precision=precision, **options)
    else:
        result = compute_conv(x, second, precision=precision, preferred_element_type=preferred_element_type, **options)
    return _arrange(result, call.out)


def _arrange(a: jax.Array, arrangement: Arrangement) -> jax.Array:
    a = lax.reshape(a, arrangement.split)
    return lax.reshape(lax.transpose(a, arrangement.permutation), arrangement.shape)


def _is_served(lhs: Any, out: Any, params: dict[str, Any]) -> bool:
    """Real floating numbers of one dtype, with sizes that are known."""
    static = all(isinstance(size, int) for size in (*lhs.shape, *out.shape))
    return static and jnp.issubdtype(lhs.dtype, jnp.floating) and lhs.dtype == out.dtype and out.size > 0


def _geometric(params: dict[str, Any]) -> dict[str, Any]:
    """What of the equation is about shapes."""
    names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers")
    return {name: params[name] for name in (*names, "feature_group_count", "batch_group_count")}


@contextlib.contextmanager
def _formulation() -> Iterator[None]:
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)
