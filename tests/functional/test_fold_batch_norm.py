"""A folded kernel has the result of the convolution followed by batch norm."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn._errors import ShapeError
from jaxcnn.functional._batch_norm import BatchStats, batch_norm
from jaxcnn.functional._conv import conv
from jaxcnn.functional._conv_transpose import conv_transpose
from jaxcnn.functional._fold_batch_norm import fold_batch_norm
from jaxcnn.functional._local_conv import local_conv
from jaxcnn.functional._separable import depthwise_conv, pointwise_conv
from tests.tiers import default_rows


def norm_of(channels: int, generator: np.random.Generator) -> dict[str, Any]:
    return {
        "stats": BatchStats(generator.standard_normal(channels), generator.uniform(0.1, 2, channels), 1.0),
        "scale": generator.standard_normal(channels),
        "offset": generator.standard_normal(channels),
    }


# The function to fold, the shapes of input and kernel, the number of output channels, and the folding.
LAYERS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], int, dict[str, Any]]] = {
    "plain": (lambda x, k: conv(x, k, strides=2), (2, 7, 6, 3), (3, 2, 3, 5), 5, {}),
    "grouped": (lambda x, k: conv(x, k, feature_group_count=2), (2, 7, 4), (3, 2, 6), 6, {"feature_group_count": 2}),
    "depthwise": (depthwise_conv, (2, 5, 5, 3), (3, 3, 1, 6), 6, {"feature_group_count": 3}),
    "pointwise": (pointwise_conv, (2, 4, 3), (3, 5), 5, {}),
    "unshared": (local_conv, (2, 4, 3), (4, 3, 3, 2), 2, {}),
    "transposed": (lambda x, k: conv_transpose(x, k, strides=2), (2, 4, 5, 3), (3, 3, 2, 3), 2, {"transposed": True}),
    "transposed, grouped": (
        lambda x, k: conv_transpose(x, k, strides=2, feature_group_count=2, padding="VALID"),
        (2, 4, 6),
        (3, 2, 6),  # 2 x 2 channels from 6
        4,
        {"transposed": True, "feature_group_count": 2},
    ),
}


@pytest.mark.parametrize("has_bias", default_rows({"bias": True, "no bias": False}, keep=["bias"]))
@pytest.mark.parametrize("layer", LAYERS)
def test_folding_is_convolving_and_normalising(layer: str, has_bias: bool) -> None:
    call, x_shape, kernel_shape, channels, how = LAYERS[layer]
    generator = np.random.default_rng(3)
    x, kernel = generator.standard_normal(x_shape), generator.standard_normal(kernel_shape)
    bias = generator.standard_normal(channels) if has_bias else None
    norm = norm_of(channels, generator)
    with jax.enable_x64(True):

        def apart(x: jax.Array, kernel: jax.Array) -> jax.Array:
            y = call(x, kernel)
            y = y if bias is None else y + jnp.asarray(bias).reshape((1,) * (y.ndim - 1) + (-1,))
            return batch_norm(y, norm["stats"], scale=norm["scale"], bias=norm["offset"], train=False, epsilon=0.01)[0]

        def together(x: jax.Array, kernel: jax.Array) -> jax.Array:
            kernel, shift = fold_batch_norm(kernel, bias, **norm, epsilon=0.01, **how)
            y = call(x, kernel)
            return y + shift.reshape((1,) * (y.ndim - 1) + (-1,))

        np.testing.assert_allclose(jax.jit(together)(x, kernel), jax.jit(apart)(x, kernel), rtol=1e-9, atol=1e-9)


def test_scale_and_offset_may_be_missing() -> None:
    stats = BatchStats(np.array([1.0, -1.0]), np.array([4.0, 0.25]), 0.0)
    kernel, bias = fold_batch_norm(np.ones((1, 3, 2), np.float32), None, stats, epsilon=0.0)
    np.testing.assert_allclose(kernel[0, 0], [0.5, 2.0])
    np.testing.assert_allclose(bias, [-0.5, 2.0])


def test_dtypes_stay() -> None:
    stats = BatchStats(np.zeros(2, np.float32), np.ones(2, np.float32), np.float32(0))
    kernel, bias = fold_batch_norm(jnp.ones((1, 1, 2), jnp.bfloat16), None, stats)
    assert kernel.dtype == bias.dtype == jnp.bfloat16
    kernel, bias = fold_batch_norm(jnp.ones((1, 1, 2), jnp.bfloat16), jnp.ones(2, jnp.float32), stats)
    assert kernel.dtype == jnp.bfloat16 and bias.dtype == jnp.float32


def test_a_bias_of_integers_gives_one_of_the_kernel_s_type() -> None:
    stats = BatchStats(np.array([0.5, -0.25], np.float32), np.full(2, 0.3, np.float32), np.float32(0))
    for bias in ([1, -2], np.zeros(2, np.uint8)):
        _, folded = fold_batch_norm(np.ones((1, 3, 2), np.float32), bias, stats)
        assert folded.dtype == jnp.float32
        np.testing.assert_allclose(folded, (np.asarray(bias) - stats.mean) / np.sqrt(0.3 + 1e-5), rtol=1e-6)


STATS = BatchStats(np.zeros(4), np.ones(4), 0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: fold_batch_norm(np.ones((3, 3, 4, 8)), None, STATS),
            ShapeError,
            r"fold_batch_norm: the kernel \(3, 3, 4, 8\), read as \(\*window, in_channels, out_channels\), makes 8 "
            r"channels but the statistics have 4. Check transposed=False and feature_group_count=1",
        ),
        (
            lambda: fold_batch_norm(np.ones((3, 3, 4, 8)), None, STATS, transposed=True, feature_group_count=2),
            ShapeError,
            r"read as \(\*window, out_channels // groups, in_channels\), makes 8 channels",
        ),
        (
            lambda: fold_batch_norm(np.ones((3, 2, 7)), None, STATS, transposed=True, feature_group_count=2),
            ShapeError,
            "feature_group_count=2 does not divide the 7 channels",
        ),
        (
            lambda: fold_batch_norm(np.ones((3, 2, 4)), None, STATS, feature_group_count=0),
            ShapeError,
            "feature_group_count=0 must be at least 1",
        ),
        (lambda: fold_batch_norm(np.ones(4), None, STATS), ShapeError, r"at least the axes \(in, out\) but has"),
        (
            lambda: fold_batch_norm(np.ones((3, 2, 4)), np.ones(2), STATS),
            ShapeError,
            r"fold_batch_norm: bias must have one entry per channel, \(4,\).*but has shape \(2,\)",
        ),
        (
            lambda: fold_batch_norm(None, None, STATS),
            TypeError,
            "fold_batch_norm: kernel must be an array",
        ),
        (lambda: fold_batch_norm(np.ones((3, 2, 4)), None, (0, 1)), TypeError, "stats must be a BatchStats, not tuple"),
        (lambda: fold_batch_norm(np.ones((3, 2, 4), int), None, STATS), TypeError, "floating numbers, not int32"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
