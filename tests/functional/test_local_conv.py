"""Unshared convolution against loops, against conv, and against its dense matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.test_util import check_grads

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.unshared import convolutions, library_options, oracle_options, out_sizes
from tests.oracles import local_conv as oracle

conv = compiled(functional.conv)
local_conv = compiled(functional.local_conv)


@given(convolutions())
@examples(25)
def test_against_loops(case: dict) -> None:
    generator = np.random.default_rng(case["seed"])
    x = generator.standard_normal(case["x_shape"])
    kernel = generator.standard_normal((*out_sizes(case), *case["filter_shape"]))
    bias = generator.standard_normal((*out_sizes(case), case["filter_shape"][-1]))
    with jax.enable_x64(True):
        y = jax.jit(lambda *a: local_conv(a[0], a[1], bias=a[2], **library_options(case)))(x, kernel, bias)
    np.testing.assert_allclose(y, oracle.local_conv(x, kernel, **oracle_options(case)) + bias, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.gate),
        pytest.param({"padding": "VALID", "strides": 2}, marks=pytest.mark.gate),
        {"padding": "SAME_LOWER", "strides": (2, 1), "padding_mode": "edge"},
        {"padding": "FULL", "kernel_dilation": (1, 2)},
        pytest.param({"padding": "CAUSAL", "flip_kernel": True}, marks=pytest.mark.gate),
        {"padding": ((1, -1), (0, 2)), "feature_group_count": 2},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
def test_the_same_filter_everywhere_is_conv(options: dict, key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 7, 6, 4))
    channels = 4 // options.get("feature_group_count", 1)
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (3, 2, channels, 6))
    expected = conv(x, kernel, **options)
    repeated = jnp.broadcast_to(kernel, (*expected.shape[1:3], *kernel.shape))
    np.testing.assert_allclose(local_conv(x, repeated, **options), expected, rtol=1e-5, atol=1e-5)


def test_it_is_the_product_with_the_matrix_it_never_makes(key: jax.Array) -> None:
    """The matrix of all inputs and outputs is the Jacobian; the compiled program never contains it."""
    x = jax.random.normal(key, (6, 5, 2))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (4, 4, 3, 2, 2, 3))
    matrix = jax.jacobian(lambda x: local_conv(x, kernel, padding="VALID"))(x)
    y = local_conv(x, kernel, padding="VALID")
    np.testing.assert_allclose(jnp.tensordot(matrix, x, 3), y, rtol=1e-4, atol=1e-5)
    assert int(jnp.sum(matrix != 0)) == kernel.size  # one entry for each parameter, zeros elsewhere

    def backward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.grad(lambda *a: jnp.sum(local_conv(*a, padding="VALID") ** 2), (0, 1))(x, kernel)

    program = jax.make_jaxpr(backward)(x, kernel)
    sizes = [np.prod(v.aval.shape) for eqn in program.eqns for v in eqn.outvars if hasattr(v.aval, "shape")]
    assert max(sizes) <= kernel.size < matrix.size


@pytest.mark.gate
def test_derivatives_to_second_order(key: jax.Array) -> None:
    with jax.enable_x64(True):
        x = jax.random.normal(key, (2, 5, 3, 2), jnp.float64)
        kernel = jax.random.normal(jax.random.fold_in(key, 1), (3, 3, 2, 2, 1, 2), jnp.float64)
        bias = jax.random.normal(jax.random.fold_in(key, 2), (3, 3, 2), jnp.float64)

        def loss(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
            return jnp.sum(
                jnp.sin(
                    local_conv(x, kernel, bias=bias, strides=(2, 1), feature_group_count=2, padding_mode="circular")
                )
            )

        check_grads(jax.jit(loss), (x, kernel, bias), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def test_a_filter_learns_only_from_its_own_position(key: jax.Array) -> None:
    x = jax.random.normal(key, (5, 1))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (3, 3, 1, 1))
    gradient = jax.grad(lambda kernel: local_conv(x, kernel, padding="VALID")[1, 0])(kernel)
    np.testing.assert_allclose(gradient[:, :, 0, 0], np.stack([np.zeros(3), x[1:4, 0], np.zeros(3)]), rtol=1e-6)


def test_integers_are_summed_in_32_bits() -> None:
    x = np.full((4, 8), 200, np.uint8)
    y = local_conv(x, np.full((2, 3, 8, 1), 100, np.uint8), padding="VALID")
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, 200 * 100 * 24)


def test_one_bias_per_channel_or_per_position(key: jax.Array) -> None:
    x, kernel = jnp.zeros((2, 4, 1)), jax.random.normal(key, (4, 3, 1, 2))
    per_channel, per_position = jnp.array([1.0, 2.0]), jax.random.normal(key, (4, 2))
    np.testing.assert_array_equal(local_conv(x, kernel, bias=per_channel)[1, 3], per_channel)
    np.testing.assert_array_equal(local_conv(x, kernel, bias=per_position)[1], per_position)


def test_no_batch_two_batch_axes_and_an_empty_batch(key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 3, 5, 4, 2))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (4, 3, 2, 2, 2, 3))
    y = local_conv(x, kernel, padding="VALID")
    np.testing.assert_allclose(y[1, 2], local_conv(x[1, 2], kernel, padding="VALID"), rtol=1e-5, atol=1e-6)
    assert local_conv(x[:, :0], kernel, padding="VALID").shape == (2, 0, 4, 3, 3)


X = np.zeros((1, 7, 7, 3))
KERNEL = np.zeros((5, 5, 3, 3, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: local_conv(X, np.zeros((6, 6, 3, 3, 3, 4)), padding="VALID"),
            ShapeError,
            r"local_conv: the kernel has filters for \(6, 6\) output positions, but x of \(7, 7\) has \(5, 5\) with "
            r"strides=\(1, 1\), pads=\(\(0, 0\), \(0, 0\)\).* A kernel of \(5, 5, 3, 3, 3, 4\) fits",
        ),
        (lambda: local_conv(X, KERNEL), ShapeError, r"filters for \(5, 5\) output positions, but .* has \(7, 7\)"),
        (lambda: local_conv(X, KERNEL[0]), ShapeError, r"6 for images, 8 for volumes. But kernel.shape=.* has 5"),
        (lambda: local_conv(X[0, 0, 0], KERNEL), ShapeError, r"x.shape=\(3,\) has 1 axes in all. Is the channel axis"),
        (lambda: local_conv(X[..., :2], KERNEL), ShapeError, r"local_conv: the kernel reads 3 channels but x has 2"),
        (
            lambda: local_conv(X[:, :2], KERNEL, padding="VALID"),
            ShapeError,
            r"window of 3 is larger than the input of 2",
        ),
        (
            lambda: local_conv(X, KERNEL, padding="VALID", bias=np.zeros(3)),
            ShapeError,
            r"one entry per channel, shape \(4,\), or one per filter, \(\*out_spatial, out_channels\) = \(5, 5, 4\), "
            r"but has \(3,\)",
        ),
        (lambda: local_conv(X, KERNEL, padding_mode="reflct"), ValueError, r"local_conv: padding_mode.*'reflect'\?"),
        (lambda: local_conv(X, KERNEL, strides=1.0), TypeError, r"local_conv: strides must be an integer, not 1.0"),
    ],
)
def test_mistakes(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]
