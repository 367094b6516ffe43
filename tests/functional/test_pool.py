"""avg_pool against loops, against Flax where Flax supports it, and its divisor in special cases."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import pool_output_shape
from tests.compiled import compiled_functions
from tests.examples import examples
from tests.functional.pools import Pool, pools
from tests.oracles import pool as oracle

F = compiled_functions(functional)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_against_loops(case: Pool, include_pad: bool) -> None:
    """Compares values with loops, and the gradient by the adjoint identity, since averaging is linear."""
    x = normal(*case.x.shape)
    expected = oracle.avg_pool(x, *case.walk, count_include_pad=include_pad)
    g = normal(*expected.shape, seed=1)

    @jax.jit
    def program(x: jax.Array, g: jax.Array) -> Any:
        y, back = jax.vjp(lambda x: F.avg_pool(x, case.window, count_include_pad=include_pad, **case.options), x)
        return y, back(g)[0]

    y, grad = program(x, g)
    assert y.shape == expected.shape == pool_output_shape(x.shape, case.window, **case.options)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    other = normal(*x.shape, seed=2)
    forward = (oracle.avg_pool(other, *case.walk, count_include_pad=include_pad) * g).sum()
    np.testing.assert_allclose((other.astype(np.float64) * grad).sum(), forward, rtol=1e-4, atol=1e-4)


@examples(25)
@given(pools(), st.booleans())
def test_agrees_with_loops(case: Pool, include_pad: bool) -> None:
    check_against_loops(case, include_pad)


@examples(12)
@given(pools(long=True), st.booleans())
def test_many_taps_agree_with_loops(case: Pool, include_pad: bool) -> None:
    check_against_loops(case, include_pad)


@pytest.mark.parametrize("include_pad", [False, True])
@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, "VALID"), (3, 2, "SAME"), (4, 1, "SAME")])
def test_flax_agrees(window: int, stride: int, padding: str, include_pad: bool) -> None:
    x = normal(2, 9, 8, 3)
    with jax.numpy_dtype_promotion("standard"):  # Flax divides by integers
        expected = flax.linen.avg_pool(
            x, (window, window), strides=(stride, stride), padding=padding, count_include_pad=include_pad
        )
    y = F.avg_pool(x, (window, window), strides=stride, padding=padding, count_include_pad=include_pad)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_the_divisor_counts_padding_but_never_the_overhang() -> None:
    """Ones of size 4, padded to 6, with windows of 3 at 0, 2 and 4: the last window exceeds the padded size by 1."""
    ones = np.ones((4, 1), np.float32)
    options: dict[str, Any] = {"strides": 2, "padding": 1, "ceil_mode": True}
    with_pad = F.avg_pool(ones, (3,), count_include_pad=True, **options)[:, 0]
    np.testing.assert_allclose(with_pad, [2 / 3, 1, 1 / 2], rtol=1e-6)
    np.testing.assert_array_equal(F.avg_pool(ones, (3,), **options)[:, 0], [1, 1, 1])


def test_a_window_of_padding_gives_zero() -> None:
    y, back = jax.vjp(lambda x: F.avg_pool(x, (2,), strides=2, padding=4), jnp.ones((2, 1)))
    np.testing.assert_array_equal(y[:, 0], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(back(jnp.ones_like(y))[0][:, 0], [0.5, 0.5])


@pytest.mark.parametrize(("window", "stride"), [((3, 3), 2), ((2, 2), 2), ((9, 9), 1)])
def test_half_precision_is_summed_in_float32(window: tuple[int, int], stride: int) -> None:
    """The sum of 81 entries near 300 exceeds the precision of bfloat16 and the range of float16."""
    x = (300 + np.random.default_rng(0).integers(0, 3, (9, 9, 4))).astype(np.float16)
    for dtype, eps in ((jnp.float16, 2**-11), (jnp.bfloat16, 2**-8)):
        short = jnp.asarray(x, dtype)
        y = F.avg_pool(short, window, strides=stride)
        assert y.dtype == dtype
        expected = oracle.avg_pool(np.asarray(short, np.float64), window, (stride,) * 2, (1, 1), ((0, 0),) * 2, False)
        np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=eps)


def test_integers_average_to_floats() -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 2), np.uint8)
    expected = x.reshape(2, 3, 2).astype(np.float64).mean(1)
    y = F.avg_pool(x, (3,), strides=3)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    with jax.enable_x64(True):
        wide = F.avg_pool(x, (3,), strides=3)
        assert wide.dtype == jnp.float64
        np.testing.assert_allclose(wide, expected, rtol=1e-15)


def test_long_sums_keep_their_digits() -> None:
    """A running sum would lose the small entries after the large one."""
    x = np.concatenate([[1e8], np.random.default_rng(0).random(400)]).astype(np.float32)[:, None]
    y = F.avg_pool(x, (50,), strides=1)[60:, 0]
    expected = np.convolve(x[:, 0].astype(np.float64), np.ones(50) / 50, "valid")[60:]
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    x = normal(*batch, 6, 5, 2)
    y = F.avg_pool(x, (2, 2), strides=2, padding="SAME")
    assert y.shape == (*batch, 3, 3, 2)
    for at in np.ndindex(*batch):
        np.testing.assert_allclose(y[at], F.avg_pool(x[at], (2, 2), strides=2, padding="SAME"), rtol=1e-6)


def test_complex_numbers_have_an_average() -> None:
    x = normal(6, 1) + 1j * normal(6, 1, seed=1)
    np.testing.assert_allclose(F.avg_pool(x, (2,), strides=2), x.reshape(3, 2, 1).mean(1), rtol=1e-6)


def test_mistakes_are_refused() -> None:
    x = jnp.ones((2, 6, 6, 3))
    with pytest.raises(ShapeError, match=r"avg_pool: window_shape=2 can be read as \(2,\)"):
        F.avg_pool(x, 2, strides=2)
    with pytest.raises(TypeError, match="strides is missing"):
        F.avg_pool(x, (2, 2))
    with pytest.raises(ShapeError, match="avg_pool: on spatial axis 0 the window of 7 is larger than the input of 6"):
        F.avg_pool(x, (7, 6), strides=1)
    with pytest.raises(TypeError, match="avg_pool: count_include_pad is True or False, not 1"):
        F.avg_pool(x, (2, 2), strides=1, count_include_pad=1)
    with pytest.raises(TypeError, match="avg_pool: x holds booleans"):
        F.avg_pool(x > 0, (2, 2), strides=1)
