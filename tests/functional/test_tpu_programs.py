"""Programs lowered for a TPU; their operations run on every platform, so their results are compared here."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn import functional as F
from jaxcnn._geometry import plan_pool
from jaxcnn._portable import portable_operations
from jaxcnn.functional._pooling import MAXIMUM, MINIMUM, extremum_of_windows, window_sum
from tests.functional.test_explain import algorithms_of, lowered

WINDOWS = (
    {"window_shape": (3, 3), "strides": 2, "padding": 1},
    {"window_shape": (2, 2), "strides": 2, "ceil_mode": True},
    {"window_shape": (1, 5), "strides": (1, 3), "padding": ((0, 0), (2, 1))},
)


def operations(function: Callable[..., Any], platform: str, *shapes: tuple[int, ...]) -> str:
    """The text of the program of the value and of the gradient of all arguments."""
    arguments = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    gradients = jax.value_and_grad(lambda *arguments: jnp.sum(function(*arguments)), tuple(range(len(shapes))))
    return str(jax.export.export(jax.jit(gradients), platforms=[platform])(*arguments).mlir_module())


@pytest.mark.parametrize("options", WINDOWS[:2])
@pytest.mark.parametrize("pool", [F.max_pool, F.avg_pool])
def test_a_pool_is_one_operation_of_a_tpu(pool: Any, options: dict[str, Any]) -> None:
    def program(platform: str, **more: Any) -> str:
        return operations(lambda x: pool(x, **options, **more), platform, (2, 9, 9, 4))

    backward = "stablehlo.select_and_scatter" if pool is F.max_pool else "stablehlo.reduce_window"
    text = program("tpu")
    assert "stablehlo.reduce_window" in text and backward in text and "stablehlo.slice" not in text
    assert "stablehlo.reduce_window" not in program("cpu")
    # the operation has no transpose with dilation
    assert "stablehlo.reduce_window" not in program("tpu", window_dilation=2)


@pytest.mark.parametrize(
    ("pool", "options"), [("max", WINDOWS[0]), ("max", WINDOWS[1]), ("min", WINDOWS[2]), ("sum", WINDOWS[0])]
)
def test_the_operation_of_a_tpu_has_the_same_results(pool: str, options: dict[str, Any]) -> None:
    options = {"padding": "VALID", "window_dilation": 1, "ceil_mode": False, **options}
    plan = plan_pool((9, 8), options.pop("window_shape"), **options)

    def pooled(x: jax.Array) -> jax.Array:
        if pool == "sum":
            return window_sum(x, plan)
        return inspect.unwrap(extremum_of_windows)(x, plan, MAXIMUM if pool == "max" else MINIMUM)[0]

    def values(x: np.ndarray, g: np.ndarray) -> tuple[jax.Array, jax.Array]:
        def y_and_dx(x: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
            y, transpose = jax.vjp(pooled, x)
            return y, transpose(g)[0]

        return jax.jit(y_and_dx)(x, g)  # a new function, so that it is traced each time

    x = np.random.default_rng(0).integers(0, 3, (2, 9, 8, 3)).astype(np.float32)  # with many ties
    shape = jax.eval_shape(pooled, x).shape
    g = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    y, dx = values(x, g)
    with portable_operations():
        assert "reduce_window" in str(jax.make_jaxpr(pooled)(x))
        window_y, window_dx = values(x, g)
    np.testing.assert_array_equal(window_y, y)
    np.testing.assert_array_equal(window_dx, dx)


def kernel_grad(x: jax.Array, g: jax.Array, **options: Any) -> jax.Array:
    return F.conv_kernel_grad(x, g, (3, 3), padding="SAME", feature_group_count=8, **options)


@pytest.mark.parametrize("axes", [{"data": 8}, {"data": 8, "one": 1}, {"data": 2, "other": 4}])
def test_a_depthwise_kernel_gradient_over_one_axis_is_that_of_xla(axes: dict[str, int]) -> None:
    mesh = jax.make_mesh(tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * len(axes))
    struct = jax.ShapeDtypeStruct((8, 4, 4, 8), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("data")))
    partitioned: Any = True if len(axes) == 2 and axes["data"] == 2 else "one axis"
    where: dict[str, Any] = {"platform": "tpu", "partitioned": partitioned, "feature_group_count": 8}
    explained = F.explain_conv((8, 4, 4, 8), (3, 3, 1, 8), **where)
    assert explained.kernel_grad.algorithm == ("grouped" if partitioned is True else "xla")
    assert f"partitioned={partitioned!r}" in repr(explained)
    with jax.set_mesh(mesh):
        assert algorithms_of(lowered(kernel_grad, struct, struct, platform="tpu")) == {explained.kernel_grad.algorithm}
    # the mesh is unknown without ``set_mesh``
    assert algorithms_of(lowered(kernel_grad, struct, struct, platform="tpu")) == {"grouped"}


@pytest.mark.parametrize("spec", [(), ("data",), (None, None, None, "data")])
def test_xla_partitions_a_depthwise_kernel_gradient_over_one_axis_correctly(spec: tuple[str | None, ...]) -> None:
    x, g = np.random.default_rng(0).standard_normal((2, 8, 8, 4, 8)).astype(np.float32)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec(*spec))
    found = jax.jit(functools.partial(kernel_grad, algorithm="xla"))(jax.device_put(x, split), jax.device_put(g, split))
    np.testing.assert_allclose(found, jax.jit(kernel_grad)(x, g), rtol=1e-4, atol=1e-4)


def test_a_partitioning_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"partitioned='one' must be one of \(False, True, 'one axis'\)"):
        F.explain_conv((8, 8, 8), (3, 3, 8, 8), partitioned="one")  # type: ignore[arg-type]
