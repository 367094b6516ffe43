"""Tiled convolution against loops, and against its two special cases, conv and local_conv."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.unshared import convolutions, library_options, oracle_options, out_sizes
from tests.oracles import tiled_conv as oracle

conv = compiled(functional.conv)
local_conv = compiled(functional.local_conv)
tiled_conv = compiled(functional.tiled_conv)


@given(convolutions(), st.tuples(*[st.integers(1, 5)] * 3))
@examples(25)
def test_against_loops(case: dict, tiles: tuple[int, ...]) -> None:
    """Up to 125 tiles, so that both algorithms and unused tiles occur."""
    tiles = tiles[: len(out_sizes(case))]
    generator = np.random.default_rng(case["seed"])
    x = generator.standard_normal(case["x_shape"])
    kernel = generator.standard_normal((*tiles, *case["filter_shape"]))
    with jax.enable_x64(True):
        y = jax.jit(lambda x, kernel: tiled_conv(x, kernel, **library_options(case)))(x, kernel)
    np.testing.assert_allclose(y, oracle.tiled_conv(x, kernel, **oracle_options(case)), rtol=1e-12, atol=1e-12)


OPTIONS = [
    pytest.param({}, marks=pytest.mark.gate),
    pytest.param({"padding": "VALID", "strides": 2}, marks=pytest.mark.gate),
    {"padding": "SAME_LOWER", "strides": (2, 1), "padding_mode": "edge", "flip_kernel": True},
    {"padding": ((1, -1), (0, 2)), "feature_group_count": 2, "kernel_dilation": (2, 1)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "defaults")
def test_one_tile_is_conv_and_as_many_as_outputs_is_local_conv(options: dict, key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 7, 6, 4))
    channels = 4 // options.get("feature_group_count", 1)
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (3, 2, channels, 6))
    expected = conv(x, kernel, **options)
    np.testing.assert_allclose(tiled_conv(x, kernel[None, None], **options), expected, rtol=1e-5, atol=1e-5)
    full = jax.random.normal(jax.random.fold_in(key, 2), (*expected.shape[1:3], *kernel.shape))
    bias = jax.random.normal(jax.random.fold_in(key, 3), (*expected.shape[1:3], 6))
    np.testing.assert_allclose(
        tiled_conv(x, full, bias=bias, **options), local_conv(x, full, bias=bias, **options), rtol=1e-5, atol=1e-5
    )


def test_outputs_a_tile_apart_share_their_filter(key: jax.Array) -> None:
    """With two tiles, moving the input by two moves the output by two; moving it by one does not move it by one."""
    x = jax.random.normal(key, (12, 1))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (2, 3, 1, 1))

    def moved(steps: int) -> jax.Array:
        return tiled_conv(jnp.roll(x, steps, 0), kernel, padding_mode="circular")

    np.testing.assert_allclose(moved(2), jnp.roll(moved(0), 2, 0), rtol=1e-5, atol=1e-6)
    assert float(jnp.max(jnp.abs(moved(1) - jnp.roll(moved(0), 1, 0)))) > 0.1


@pytest.mark.gate  # both rows of the table are differentiated to second order by default
@pytest.mark.parametrize("tiles", [(2, 1), (5, 4)], ids=["a convolution per tile", "one product of windows"])
def test_derivatives_to_second_order(tiles: tuple[int, int], key: jax.Array) -> None:
    with jax.enable_x64(True):
        x = jax.random.normal(key, (2, 5, 5, 2), jnp.float64)
        kernel = jax.random.normal(jax.random.fold_in(key, 1), (*tiles, 2, 2, 1, 2), jnp.float64)
        bias = jax.random.normal(jax.random.fold_in(key, 2), (*tiles, 2), jnp.float64)

        def loss(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
            return jnp.sum(jnp.sin(tiled_conv(x, kernel, bias=bias, feature_group_count=2, padding_mode="reflect")))

        check_grads(jax.jit(loss), (x, kernel, bias), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def test_a_tile_beyond_the_last_output_is_not_used(key: jax.Array) -> None:
    x = jax.random.normal(key, (3, 1))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (5, 1, 1, 1))
    np.testing.assert_allclose(tiled_conv(x, kernel)[:, 0], x[:, 0] * kernel[:3, 0, 0, 0], rtol=1e-6)
    gradient = jax.grad(lambda kernel: jnp.sum(tiled_conv(x, kernel)))(kernel)
    np.testing.assert_allclose(gradient[:, 0, 0, 0], [*x[:, 0], 0, 0], rtol=1e-6)


def test_one_bias_per_channel_or_per_tile(key: jax.Array) -> None:
    x, kernel = jnp.zeros((2, 5, 1)), jax.random.normal(key, (2, 3, 1, 2))
    per_channel, per_tile = jnp.array([1.0, 2.0]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(tiled_conv(x, kernel, bias=per_channel)[1, 3], per_channel)
    np.testing.assert_array_equal(tiled_conv(x, kernel, bias=per_tile)[1, :, 0], [1, 3, 1, 3, 1])


def test_no_batch_two_batch_axes_and_an_empty_batch(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 3, 5, 4, 2))
    for tiles in ((2, 2), (5, 4)):
        kernel = jax.random.normal(jax.random.fold_in(key, 1), (*tiles, 2, 2, 2, 3))
        y = tiled_conv(x, kernel)
        np.testing.assert_allclose(y[1, 2], tiled_conv(x[1, 2], kernel), rtol=1e-5, atol=1e-6)
        assert tiled_conv(x[:, :0], kernel).shape == (2, 0, 5, 4, 3)


@pytest.mark.parametrize("tiles", [(2, 2), (5, 4)])
def test_integers_are_summed_in_32_bits(tiles: tuple[int, int]) -> None:
    y = tiled_conv(np.full((5, 4, 8), 200, np.uint8), np.full((*tiles, 1, 1, 8, 1), 100, np.uint8))
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, 200 * 100 * 8)


X = np.zeros((1, 7, 7, 3))
KERNEL = np.zeros((2, 2, 3, 3, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tiled_conv(X, KERNEL[0]),
            ShapeError,
            r"tiled_conv: the kernel must have the shape \(\*tiles, \*window, in_channels // feature_group_count, "
            r"out_channels\): 4 axes for sequences, 6 for images, 8 for volumes. "
            r"But kernel.shape=\(2, 3, 3, 3, 4\) has 5",
        ),
        (lambda: tiled_conv(X, KERNEL[:0]), ShapeError, r"tiled_conv: tiles.* must be at least 1"),
        (lambda: tiled_conv(X[..., :2], KERNEL), ShapeError, r"tiled_conv: the kernel reads 3 channels but x has 2"),
        (
            lambda: tiled_conv(X, KERNEL, bias=np.zeros((2, 4))),
            ShapeError,
            r"or one per filter, \(\*tiles, out_channels\) = \(2, 2, 4\), but has \(2, 4\)",
        ),
        (lambda: tiled_conv(X, KERNEL, padding="SAMEE"), ValueError, r"tiled_conv: padding='SAMEE'.*'SAME'\?"),
    ],
)
def test_mistakes(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]
