"""Depthwise, pointwise and separable convolution against equivalent full convolutions."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional
from tests.compiled import compiled
from tests.oracles import conv as oracle
from tests.tiers import default_rows

conv = compiled(functional.conv)
depthwise_conv = compiled(functional.depthwise_conv)
pointwise_conv = compiled(functional.pointwise_conv)
separable_conv = compiled(functional.separable_conv)

CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("multiplier", default_rows([1, 3], keep=[3]))
@pytest.mark.parametrize("algorithm", default_rows(["auto", "xla", "shifted", "fft", "grouped"], keep=["auto", "xla"]))
def test_depthwise_is_every_channel_by_itself(multiplier: int, algorithm: str) -> None:
    x, kernel = draw(2, 6, 5, 4), draw(3, 2, 1, 4 * multiplier, seed=1)
    options = {"strides": (2, 1), "kernel_dilation": (1, 2)}
    y = depthwise_conv(x, kernel, padding=((1, 2), (0, 3)), algorithm=algorithm, **options)
    for channel in range(4):
        expected = oracle.conv(
            x[..., channel : channel + 1],
            kernel[..., channel * multiplier : (channel + 1) * multiplier],
            pads=((1, 2), (0, 3)),
            input_dilation=(1, 1),
            **options,
        )
        np.testing.assert_allclose(y[..., channel * multiplier : (channel + 1) * multiplier], expected, **CLOSE)


def test_depthwise_options_reach_conv() -> None:
    x, kernel, bias = draw(2, 6, 3), draw(4, 1, 6, seed=1), draw(6, seed=2)
    options = {"padding_mode": "reflect", "padding": 2, "flip_kernel": True, "input_dilation": 2}
    y = depthwise_conv(x, kernel, bias=bias, **options)
    np.testing.assert_allclose(y, conv(x, kernel, bias=bias, feature_group_count=3, **options), **CLOSE)


def test_pointwise_is_a_matrix_at_every_position() -> None:
    x, kernel, bias = draw(2, 4, 5, 3), draw(3, 6, seed=1), draw(6, seed=2)
    np.testing.assert_allclose(pointwise_conv(x, kernel, bias=bias), x @ kernel + bias[None, None, None], **CLOSE)
    np.testing.assert_allclose(pointwise_conv(x[0, 0, 0], kernel), x[0, 0, 0] @ kernel, **CLOSE)
    exact = pointwise_conv(np.full((1, 3), 200, np.uint8), np.full((3, 1), 200, np.uint8))
    np.testing.assert_array_equal(exact, [[120_000]])


@pytest.mark.parametrize("multiplier", [1, 2])
def test_separable_is_a_conv_of_low_rank(multiplier: int) -> None:
    x, depthwise = draw(2, 6, 5, 3), draw(3, 2, 1, 3 * multiplier, seed=1)
    pointwise, bias = draw(1, 1, 3 * multiplier, 4, seed=2), draw(4, seed=3)
    y = separable_conv(x, depthwise, pointwise, bias=bias, strides=2)
    taps = depthwise[:, :, 0].reshape(3, 2, 3, multiplier)
    full = np.einsum("hwim,imo->hwio", taps, pointwise[0, 0].reshape(3, multiplier, 4))
    np.testing.assert_allclose(y, conv(x, full, bias=bias, strides=2), **CLOSE)


def test_dtypes() -> None:
    x = jnp.ones((2, 5, 3), jnp.bfloat16)
    depthwise, pointwise = jnp.ones((3, 1, 3), jnp.bfloat16), jnp.ones((1, 3, 2), jnp.float32)
    assert separable_conv(x, depthwise, pointwise).dtype == jnp.float32
    assert depthwise_conv(x, depthwise, preferred_element_type=jnp.float32).dtype == jnp.float32
    assert pointwise_conv(x, jnp.ones((3, 2), jnp.bfloat16)).dtype == jnp.bfloat16
