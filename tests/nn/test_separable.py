"""DepthwiseConv and SeparableConv against equivalent convolutions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn
from jaxcnn._errors import ShapeError
from jaxcnn.functional import depthwise_conv, separable_conv
from tests.tiers import default_rows

X = jax.random.normal(jax.random.key(1), (2, 8, 7, 4))


@pytest.mark.parametrize(
    "padding", default_rows(["SAME", "VALID", "CIRCULAR", "REFLECT", 1], keep=["SAME", "CIRCULAR"])
)
@pytest.mark.parametrize("multiplier", default_rows([1, 2], keep=[2]))
def test_depthwise_has_the_variables_of_a_grouped_conv(padding: Any, multiplier: int) -> None:
    layer = nn.DepthwiseConv((3, 4), multiplier, strides=(2, 1), padding=padding, kernel_dilation=2)
    grouped = nn.Conv(4 * multiplier, (3, 4), (2, 1), padding, kernel_dilation=2, feature_group_count=4)
    variables = jax.jit(layer.init)(jax.random.key(0), X)
    jax.tree.map(np.testing.assert_array_equal, variables, jax.jit(grouped.init)(jax.random.key(0), X))
    both = jax.jit(lambda variables: (layer.apply(variables, X), grouped.apply(variables, X)))
    np.testing.assert_allclose(*both(variables), rtol=1e-5, atol=1e-5)


def test_separable_calls_its_function() -> None:
    layer = nn.SeparableConv(6, (3, 2), 2, strides=2, padding_mode="edge")
    y, variables = layer.init_with_output(jax.random.key(0), X)
    params = variables["params"]
    assert jax.tree.map(jnp.shape, params) == {
        "depthwise_kernel": (3, 2, 1, 8),
        "pointwise_kernel": (1, 1, 8, 6),
        "bias": (6,),
    }
    expected = separable_conv(
        X, params["depthwise_kernel"], params["pointwise_kernel"], bias=params["bias"], strides=2, padding_mode="edge"
    )
    np.testing.assert_array_equal(y, expected)


def test_biases_are_added() -> None:
    init = jax.nn.initializers.normal()
    for layer in (nn.DepthwiseConv((3, 3), bias_init=init), nn.SeparableConv(5, (3, 3), bias_init=init)):
        y, variables = layer.init_with_output(jax.random.key(0), X)
        bias = variables["params"].pop("bias")
        plain = layer.clone(use_bias=False).apply(variables, X)
        np.testing.assert_allclose(y, plain + bias[None, None, None], rtol=1e-5, atol=1e-6)


def test_dtypes() -> None:
    layer = nn.DepthwiseConv((3, 3), dtype=jnp.bfloat16, use_bias=False)
    y, variables = layer.init_with_output(jax.random.key(0), X)
    assert y.dtype == jnp.bfloat16
    assert variables["params"]["kernel"].dtype == jnp.float32
    kernel = variables["params"]["kernel"].astype(jnp.bfloat16)
    np.testing.assert_array_equal(y, depthwise_conv(X.astype(jnp.bfloat16), kernel))


MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (nn.DepthwiseConv(3), ShapeError, "DepthwiseConv: kernel_size=3 can be read as"),
    (nn.SeparableConv(4, 3), ShapeError, "SeparableConv: kernel_size=3 can be read as"),
    (nn.DepthwiseConv((3, 3), 0), ShapeError, "DepthwiseConv: channel_multiplier=0 must be at least 1"),
    (nn.SeparableConv(4, (3, 3), 1.5), TypeError, "SeparableConv: channel_multiplier must be an integer, not 1.5"),
    (nn.DepthwiseConv((3, 3), padding="SAM"), ValueError, r"Did you mean 'SAME'\?"),
]


@pytest.mark.parametrize(("layer", "kind", "message"), MISTAKES)
def test_mistakes(layer: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        layer.init(jax.random.key(0), X)
