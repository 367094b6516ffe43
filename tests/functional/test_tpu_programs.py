"""What is lowered for a TPU; the operations themselves run on every platform, so their results are compared here."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional as F
from jaxcnn._geometry import plan_pool
from jaxcnn._portable import portable_operations
from jaxcnn.functional._pooling import MAXIMUM, MINIMUM, extremum_of_windows, window_sum

WINDOWS = (
    {"window_shape": (3, 3), "strides": 2, "padding": 1},
    {"window_shape": (2, 2), "strides": 2, "ceil_mode": True},
    {"window_shape": (1, 5), "strides": (1, 3), "padding": ((0, 0), (2, 1))},
)


def operations(function: Callable[..., Any], platform: str, *shapes: tuple[int, ...]) -> str:
    """The program of the value and the gradient of all arguments, as text."""
    arguments = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    gradients = jax.value_and_grad(lambda *arguments: jnp.sum(function(*arguments)), tuple(range(len(shapes))))
    return str(jax.export.export(jax.jit(gradients), platforms=[platform])(*arguments).mlir_module())


@pytest.mark.parametrize("options", WINDOWS[:2])
@pytest.mark.parametrize("pool", [F.max_pool, F.avg_pool])
def test_a_pool_is_one_operation_of_a_tpu(pool: Any, options: dict[str, Any]) -> None:
    def program(platform: str, **more: Any) -> str:
        return operations(lambda x: pool(x, **options, **more), platform, (2, 9, 9, 4))

    backward = "stablehlo.select_and_scatter" if pool is F.max_pool else "stablehlo.reduce_window"
    assert program("tpu").count("stablehlo.reduce_window") >= 1
    assert backward in program("tpu")
    assert "stablehlo.slice" not in program("tpu")
    assert "stablehlo.reduce_window" not in program("cpu")
    assert "stablehlo.reduce_window" not in program("tpu", window_dilation=2)  # it has no transpose


@pytest.mark.parametrize("options", WINDOWS)
@pytest.mark.parametrize("pool", ["max", "min", "sum"])
def test_the_operation_of_a_tpu_has_the_same_results(pool: str, options: dict[str, Any]) -> None:
    options = {"padding": "VALID", "window_dilation": 1, "ceil_mode": False, **options}
    plan = plan_pool((9, 8), options.pop("window_shape"), **options)

    def pooled(x: jax.Array) -> jax.Array:
        if pool == "sum":
            return window_sum(x, plan)
        return extremum_of_windows.__wrapped__(x, plan, MAXIMUM if pool == "max" else MINIMUM)[0]

    @jax.jit
    def values(x: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, transpose = jax.vjp(pooled, x)
        return y, transpose(g)[0]

    x = np.random.default_rng(0).integers(0, 3, (2, 9, 8, 3)).astype(np.float32)  # with many ties
    shape = jax.eval_shape(pooled, x).shape
    g = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    y, dx = values(x, g)
    with portable_operations():
        values.clear_cache()
        assert "reduce_window" in str(jax.make_jaxpr(pooled)(x))
        window_y, window_dx = values(x, g)
    np.testing.assert_array_equal(window_y, y)
    np.testing.assert_array_equal(window_dx, dx)
