"""The two primitives are closed under differentiation and batching, and are lowered to the selected algorithm."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._conv import conv
from jaxcnn.functional._conv_grads import conv_kernel_grad
from jaxcnn.functional._engine._algorithms import ALGORITHMS
from jaxcnn.functional._engine._plan import ConvPlan
from jaxcnn.functional._engine._primitives import bind_conv, bind_kernel_grad
from tests.functional.engine.dense import plan_of
from tests.tiers import default_rows

OPTIONS: dict[str, Any] = {"strides": 2, "kernel_dilation": 2, "padding": 2}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def operation_names(jaxpr: Any) -> set[str]:
    return {equation.primitive.name for equation in jaxpr.jaxpr.eqns}


def geometry_of(groups: int) -> ConvGeometry:
    return conv_geometry((3, 9, 8, 4), (3, 2, 4 // groups, 8), feature_group_count=groups, **OPTIONS)


def test_every_derivative_is_one_of_the_two() -> None:
    """Up to third order, no other operation that multiplies two arrays appears."""
    x, kernel = draw(2, 7, 7, 4), draw(3, 3, 2, 6)

    def scalar(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sum(conv(x, kernel, feature_group_count=2, **OPTIONS) ** 3)

    def norm(x: jax.Array, kernel: jax.Array) -> Any:
        return sum(jnp.sum(g**2) for g in jax.grad(scalar, (0, 1))(x, kernel))

    found = operation_names(jax.make_jaxpr(jax.grad(norm, (0, 1)))(x, kernel))
    assert {"conv", "conv_kernel_grad"} <= found
    assert not {"conv_general_dilated", "dot_general", "custom_jvp_call", "scan", "while"} & found


@pytest.mark.parametrize("groups", default_rows([1, 2, 4], keep=[1, 4]))
@pytest.mark.parametrize(
    "axes",
    default_rows(
        [[0, None], [None, 0], [2, 1], [None, -1], [-1, None], [-1, -1]], keep=[[2, 1], [None, -1], [-1, None]]
    ),
)
def test_batching_either_operand(groups: int, axes: list[int | None]) -> None:
    """``vmap`` of both primitives is one call, and equals a loop."""
    geometry = geometry_of(groups)
    for bind, shapes in (
        (bind_conv, (geometry.x_shape, geometry.kernel_shape)),
        (bind_kernel_grad, (geometry.x_shape, geometry.out_shape)),
    ):
        function = functools.partial(bind, plan=plan_of(geometry))
        operands = []
        for seed, (shape, axis) in enumerate(zip(shapes, axes, strict=True)):
            batched = list(shape)
            if axis is not None:
                batched.insert(axis if axis >= 0 else len(shape) + 1 + axis, 5)
            operands.append(draw(*batched, seed=seed))
        together = jax.vmap(function, tuple(axes))
        names = [equation.primitive.name for equation in jax.make_jaxpr(together)(*operands).jaxpr.eqns]
        assert names.count("conv") + names.count("conv_kernel_grad") == 1
        one = jax.jit(function)
        alone = [
            one(*(a if axis is None else np.take(a, i, axis) for a, axis in zip(operands, axes, strict=True)))
            for i in range(5)
        ]
        np.testing.assert_allclose(jax.jit(together)(*operands), np.stack(alone), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_gradients_of_a_widened_result_have_the_dtype_of_their_operands(groups: int) -> None:
    """Half precision is summed in float32: cotangents have half precision, computed from sums in float32."""
    geometry = geometry_of(groups)
    x, kernel = (draw(*shape).astype(jnp.bfloat16) for shape in (geometry.x_shape, geometry.kernel_shape))
    plan = ConvPlan(geometry=geometry, dtype=jnp.bfloat16, preferred_element_type=jnp.float32)
    bind = functools.partial(bind_conv, plan=plan)
    g = draw(*geometry.out_shape, seed=1)

    @functools.partial(jax.jit, static_argnums=0)
    def pulled(bind: Any, x: Any, kernel: Any) -> Any:
        y, pull = jax.vjp(bind, x, kernel)
        return y, pull(g)

    y, (dx, dk) = jax.device_get(pulled(bind, x, kernel))
    assert y.dtype == jnp.float32
    assert (dx.dtype, dk.dtype) == (jnp.bfloat16, jnp.bfloat16)
    wide = [operand.astype(np.float32) for operand in (x, kernel)]
    _, exact = pulled(functools.partial(bind_conv, plan=plan_of(geometry)), *wide)
    for found, expected in zip((dx, dk), exact, strict=True):
        np.testing.assert_allclose(found.astype(np.float32), expected, rtol=1e-2, atol=1e-2)


def test_a_forced_algorithm_is_replaced_where_it_does_not_support_an_operation() -> None:
    """Single taps and their gradients are matrix products; the error for a larger window names the algorithm."""
    x, kernel = draw(2, 6, 6, 4), draw(1, 1, 4, 6)
    program = jax.jit(jax.grad(lambda k: jnp.sum(conv(x, k, algorithm="matmul") ** 2)))
    text = program.lower(kernel).as_text()
    assert "stablehlo.dot_general" in text
    assert "stablehlo.convolution" not in text
    with pytest.raises(ValueError, match=r"conv: algorithm='matmul' does not support this: it requires a window"):
        conv(x, draw(3, 3, 4, 6), algorithm="matmul")
    with pytest.raises(ValueError, match=r"conv_kernel_grad: algorithm='shifted' does not support this: it "):
        conv_kernel_grad(x, draw(2, 6, 6, 6), (3, 3), algorithm="shifted")


def test_an_algorithm_says_which_operation_it_lacks() -> None:
    forward_only = dataclasses.replace(ALGORITHMS["xla"], kernel_grad=None)
    assert forward_only.why_not(plan_of(geometry_of(1)), "kernel_grad") == "it computes no kernel gradient"
    assert forward_only.why_not(plan_of(geometry_of(1)), "forward") is None


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_data_parallel_gradients_gather_nothing(groups: int) -> None:
    """The batch stays split; only the kernel gradients are summed over devices (openxla/xla#47945)."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x = jax.ShapeDtypeStruct((16, 6, 6, 8), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.ShapeDtypeStruct((3, 3, 8 // groups, 8), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec()))

    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sum(jnp.tanh(conv(x, kernel, strides=2, feature_group_count=groups)))

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).compile().as_text()
    assert "all-gather(" not in text
    assert "all-to-all(" not in text
    assert "all-reduce(" in text


def test_a_mesh_axis_that_splits_nothing_counts_once() -> None:
    """XLA's own grouped kernel gradient is multiplied by the size of such an axis (jax 0.10.2 and 0.12.0)."""
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    x, kernel = draw(8, 6, 6, 8), draw(3, 3, 4, 8)

    def gradient(x: Any, kernel: Any) -> jax.Array:
        return jax.grad(lambda k: jnp.sum(jnp.sin(conv(x, k, feature_group_count=2))))(kernel)

    placed = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    np.testing.assert_allclose(jax.jit(gradient)(placed, kernel), jax.jit(gradient)(x, kernel), rtol=1e-4, atol=1e-4)
