"""The two backward operations against automatic differentiation of conv, finite differences and each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.sharding import AxisType, PartitionSpec
from jax.test_util import check_grads

from jaxcnn import functional
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.convolutions import Convolution, convolutions
from tests.oracles import conv as oracle

conv = compiled(functional.conv)
conv_input_grad = compiled(functional.conv_input_grad)
conv_kernel_grad = compiled(functional.conv_kernel_grad)

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


@examples(20)
@given(convolutions())
def test_they_are_the_derivatives_of_conv(case: Convolution) -> None:
    with jax.enable_x64(True):
        window, options = case.kernel.shape[:-2], case.options

        @jax.jit
        def both(x: jax.Array, kernel: jax.Array) -> tuple:
            y, pull = jax.vjp(functools.partial(conv, **options), x, kernel)
            g = jnp.cos(3 * y + 1)
            found = conv_input_grad(g, kernel, x.shape, **options), conv_kernel_grad(x, g, window, **options)
            return pull(g), found

        expected, found = both(case.x, case.kernel)
        assert found[0].shape == case.x.shape
        assert found[1].shape == case.kernel.shape
        np.testing.assert_allclose(found[0], expected[0], **CLOSE)
        np.testing.assert_allclose(found[1], expected[1], **CLOSE)


@examples(10)
@given(convolutions())
def test_they_are_the_adjoints_of_the_loops(case: Convolution) -> None:
    """``<conv(u, k), g> == <u, input_grad>`` and ``== <k, kernel_grad>``, with the left side computed by loops."""
    with jax.enable_x64(True):
        y = case.expected()
        g = np.random.default_rng(3).standard_normal(y.shape)
        product = np.vdot(y, g)

        @jax.jit
        def both(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple:
            back = conv_input_grad(g, kernel, x.shape, **case.options)
            return back, conv_kernel_grad(x, g, kernel.shape[:-2], **case.options)

        back, result = both(case.x, case.kernel, g)
        np.testing.assert_allclose(np.vdot(case.x, back), product, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(np.vdot(case.kernel, result), product, rtol=1e-9, atol=1e-9)


@pytest.mark.gate
def test_derivatives_of_every_order_by_finite_differences() -> None:
    options = {"strides": 2, "padding": ((1, 2),), "kernel_dilation": 2, "feature_group_count": 2}
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        x, kernel = generator.standard_normal((2, 6, 4)), generator.standard_normal((2, 2, 2))
        g = generator.standard_normal((2, 4, 2))
        forced = functools.partial(conv, **options)
        back = functools.partial(conv_input_grad, input_shape=x.shape, **options)
        result = functools.partial(conv_kernel_grad, window_shape=(2,), **options)
        check_grads(jax.jit(lambda x, k: jnp.sin(forced(x, k))), (x, kernel), order=2, atol=1e-4, rtol=1e-4)
        check_grads(jax.jit(lambda g, k: jnp.sin(back(g, k))), (g, kernel), order=2, atol=1e-4, rtol=1e-4)
        check_grads(jax.jit(lambda x, g: jnp.sin(result(x, g))), (x, g), order=2, atol=1e-4, rtol=1e-4)


def test_with_conv_they_close_under_differentiation() -> None:
    """The derivative of any of the three functions by an argument is another one of them."""
    options = {"strides": 2, "padding": "SAME_LOWER"}
    generator = np.random.default_rng(0)
    x, kernel, g = (jnp.asarray(generator.standard_normal(s), jnp.float32) for s in ((7, 2), (3, 2, 3), (4, 3)))
    u, w = jnp.cos(x), jnp.sin(kernel)
    by_g = jax.vjp(lambda g: conv_input_grad(g, kernel, x.shape, **options), g)[1](u)[0]
    np.testing.assert_allclose(by_g, conv(u, kernel, **options), rtol=1e-5, atol=1e-5)
    by_kernel = jax.vjp(lambda k: conv_input_grad(g, k, x.shape, **options), kernel)[1](u)[0]
    np.testing.assert_allclose(by_kernel, conv_kernel_grad(u, g, (3,), **options), rtol=1e-5, atol=1e-5)
    by_x = jax.vjp(lambda x: conv_kernel_grad(x, g, (3,), **options), x)[1](w)[0]
    np.testing.assert_allclose(by_x, conv_input_grad(g, w, x.shape, **options), rtol=1e-5, atol=1e-5)


def test_what_the_strides_leave_over_gets_no_gradient() -> None:
    back = conv_input_grad(np.ones((2, 1)), np.ones((2, 1, 1)), (6, 1), strides=3, padding="VALID")
    np.testing.assert_array_equal(back[:, 0], [1, 1, 0, 1, 1, 0])


def test_inside_shard_map_the_kernel_gradient_is_local() -> None:
    """It contains no implicit sum over devices: each device has the gradient of its own examples."""
    generator = np.random.default_rng(0)
    x, g = generator.standard_normal((8, 5, 2)), generator.standard_normal((8, 5, 3))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("data")
    local = jax.shard_map(
        lambda x, g: conv_kernel_grad(x, g, (3,))[None], mesh=mesh, in_specs=(split, split), out_specs=split
    )
    found = jax.jit(local)(x, g)
    for index in range(8):
        np.testing.assert_allclose(found[index], conv_kernel_grad(x[index], g[index], (3,)), rtol=1e-5, atol=1e-5)


def test_dtypes() -> None:
    x, g = jnp.full((4, 1), 200, jnp.uint8), jnp.full((4, 1), 100, jnp.uint8)
    result = conv_kernel_grad(x, g, (1,))
    assert result.dtype == jnp.int32
    np.testing.assert_array_equal(result, [[[80_000]]])
    half = jnp.ones((4, 1), jnp.bfloat16)
    assert conv_kernel_grad(half, half, (1,)).dtype == jnp.bfloat16
    assert conv_kernel_grad(half, half, (1,), preferred_element_type=jnp.float32).dtype == jnp.float32
    assert conv_input_grad(half, jnp.ones((1, 1, 1)), (4, 1)).dtype == jnp.float32


def test_kernel_gradient_by_loops() -> None:
    """Entry by entry: the result of conv for a kernel that is one at that entry and zero elsewhere."""
    generator = np.random.default_rng(0)
    x, g = generator.standard_normal((2, 5, 6, 2)), generator.standard_normal((2, 3, 2, 3))
    options = {"strides": (2, 3), "pads": ((1, 1), (0, 1)), "input_dilation": (1, 1), "kernel_dilation": (1, 2)}
    expected = np.zeros((3, 2, 2, 3))
    for entry in np.ndindex(*expected.shape):
        one = np.zeros_like(expected)
        one[entry] = 1
        expected[entry] = np.vdot(oracle.conv(x, one, **options), g)
    found = conv_kernel_grad(x, g, (3, 2), strides=(2, 3), padding=((1, 1), (0, 1)), kernel_dilation=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_kernel_gradient_of_integers_is_exact() -> None:
    generator = np.random.default_rng(0)
    x, g = generator.integers(0, 256, (2, 7, 6, 4), "uint8"), generator.integers(-128, 128, (2, 4, 6, 6), "int8")
    options = {"strides": (2, 1), "kernel_dilation": (1, 2), "feature_group_count": 2, "flip_kernel": True}
    result = conv_kernel_grad(x, g, (3, 2), padding_mode="circular", **options)
    assert result.dtype == jnp.int32
    with jax.enable_x64(True):
        exact = conv_kernel_grad(x.astype(np.float64), g.astype(np.float64), (3, 2), padding_mode="circular", **options)
    np.testing.assert_array_equal(result, exact.astype(np.int32))
