"""The rule by which ``lax.conv_general_dilated`` is lowered on the CPU under ``accelerate``.

This is the only module that uses a private name of JAX.
"""

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

from jaxcnn._geometry import Arrangement, read_lax_conv
from jaxcnn.functional._engine._choose import compute
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan
from jaxcnn.functional._engine._primitives import is_exported, partitioning

Rule = Callable[..., Any]

UNKNOWN_JAX = (
    "accelerate: this JAX ({version}) keeps its lowering rules elsewhere than the releases known to jaxcnn, so "
    "lax.conv_general_dilated stays XLA's own. jaxcnn.functional.conv is not affected. ({error})"
)

# Inside an algorithm, ``lax.conv_general_dilated`` is XLA's own: the algorithm was selected already.
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside of an algorithm", default=False)


@functools.cache
def xla_rule() -> Rule | None:
    """JAX's own rule for the CPU; None, with a warning, if it is not found."""
    try:
        return mlir._platform_specific_lowerings["cpu"][lax.conv_general_dilated_p].rule
    except (AttributeError, KeyError) as error:
        warnings.warn(UNKNOWN_JAX.format(version=jax.__version__, error=repr(error)), RuntimeWarning, stacklevel=4)
        return None


def replace_rule(original: Rule) -> None:
    """Programs that are lowered for the CPU from now on use the algorithms of this library."""
    _register(functools.partial(_lower, original))


def restore_rule(original: Rule) -> None:
    """Programs that are lowered from now on use XLA's own convolution again."""
    _register(original)


def _register(rule: Rule) -> None:
    mlir.register_lowering(lax.conv_general_dilated_p, rule, platform="cpu")
    jax.clear_caches()  # programs that are compiled already would not change otherwise


def _lower(original: Rule, ctx: Any, lhs: Any, rhs: Any, **params: Any) -> Any:
    """The selected algorithm; XLA's own convolution in programs that XLA partitions over devices."""
    (lhs_type, rhs_type), (out_type,) = ctx.avals_in, ctx.avals_out
    if _inside.get() or partitioning(ctx) or not _is_supported(lhs_type, out_type, params):
        return original(ctx, lhs, rhs, **params)
    call = read_lax_conv(lhs_type.shape, rhs_type.shape, out_type.shape, **_geometric(params))
    plan = ConvPlan(
        geometry=call.geometry,
        dtype=lhs_type.dtype,
        preferred_element_type=params["preferred_element_type"],
        precision=params["precision"],
    )
    operation: BaseOperation = "kernel_grad" if call.kernel_grad else "forward"
    where: dict[str, Any] = {"platform": "cpu", "partitioned": False, "exported": is_exported(ctx)}

    def traced(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        operands = _arrange(lhs, call.lhs), _arrange(rhs, call.rhs)
        result = compute(*operands, plan=plan, operation=operation, **where)
        return _arrange(result, call.out)

    with _inside_algorithm():
        return mlir.lower_fun(traced, multiple_results=False)(ctx, lhs, rhs)


def _arrange(a: jax.Array, arrangement: Arrangement) -> jax.Array:
    a = lax.reshape(a, arrangement.split)
    return lax.reshape(lax.transpose(a, arrangement.permutation), arrangement.shape)


def _is_supported(lhs: Any, out: Any, params: dict[str, Any]) -> bool:
    """Whether the arrays have real floating numbers of one dtype and static sizes."""
    static = all(isinstance(size, int) for size in (*lhs.shape, *out.shape))
    return static and jnp.issubdtype(lhs.dtype, jnp.floating) and lhs.dtype == out.dtype and out.size > 0


def _geometric(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the equation that its shapes depend on."""
    names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers")
    return {name: params[name] for name in (*names, "feature_group_count", "batch_group_count")}


@contextlib.contextmanager
def _inside_algorithm() -> Iterator[None]:
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)
