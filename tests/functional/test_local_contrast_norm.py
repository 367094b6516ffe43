"""Local contrast norm against loops over the formulas of the paper, and in special cases."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled
from tests.oracles import local_contrast_norm as oracle

local_contrast_norm = compiled(functional.local_contrast_norm)


@pytest.mark.parametrize(
    ("shape", "window", "sigma"),
    [
        ((5, 6, 2), (4, 5), None),
        pytest.param((7, 6, 3), (3, 3), 0.8, marks=pytest.mark.gate),
        pytest.param((9, 1), (3,), 2.0, marks=pytest.mark.gate),
        pytest.param((3, 4, 3, 2), (3, 2, 3), 1.0, marks=pytest.mark.gate),
    ],
)
def test_against_loops(shape: tuple[int, ...], window: tuple[int, ...], sigma: float | None) -> None:
    x = np.random.default_rng(0).standard_normal((2, *shape))
    with jax.enable_x64(True):
        y = local_contrast_norm(x, window_shape=window, sigma=sigma)
    widths = tuple(size / 4 if sigma is None else sigma for size in window)
    expected = [oracle.local_contrast_norm(each, window=window, sigma=widths) for each in x]
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)


def test_contrast_and_brightness_do_not_matter(key: jax.Array) -> None:
    x = jax.random.normal(key, (12, 12, 2))
    np.testing.assert_allclose(local_contrast_norm(30 * x + 100), local_contrast_norm(x), atol=2e-4)


def test_a_window_of_two_has_equal_weights_whatever_sigma_is(key: jax.Array) -> None:
    x = jax.random.normal(key, (4, 4, 1))
    narrow, wide = (local_contrast_norm(x, window_shape=(2, 2), sigma=sigma) for sigma in (1e-3, 1.0))
    np.testing.assert_array_equal(narrow, wide)


def test_a_constant_image_is_zero_with_finite_derivatives() -> None:
    x = jnp.full((5, 5, 1), 3.0)
    np.testing.assert_allclose(local_contrast_norm(x), 0, atol=1e-5)
    gradient = jax.jit(jax.grad(lambda x: functional.local_contrast_norm(x).sum()))(jnp.zeros((5, 5, 1)))
    assert np.isfinite(gradient).all()


@pytest.mark.gate
def test_derivatives_to_second_order(key: jax.Array) -> None:
    with jax.enable_x64(True):
        x = jax.random.normal(key, (4, 4, 2), jnp.float64)
        check_grads(
            lambda x: functional.local_contrast_norm(x, window_shape=(3, 3)), (x,), order=2, modes=("fwd", "rev")
        )


def test_other_types() -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 6, 1), np.uint8)
    expected = oracle.local_contrast_norm(x.astype(float), window=(3, 3), sigma=(0.75, 0.75))
    found = local_contrast_norm(x, window_shape=(3, 3))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    half = local_contrast_norm(x.astype(jnp.bfloat16), window_shape=(3, 3))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(half, float), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f(np.ones((4, 4))), ShapeError, "local_contrast_norm: x must have .* with 2 spatial axes"),
        (lambda f: f(np.ones((0, 4, 1))), ShapeError, r"and entries on each, not \(0, 4, 1\)"),
        (lambda f: f(np.ones((4, 4, 1)), sigma=0.0), ValueError, "sigma=0.0 must be positive"),
        (lambda f: f(np.ones((4, 4, 1)), sigma=np.float32(0)), ValueError, "sigma=0.0 must be positive"),
        (lambda f: f(np.ones((4, 4, 1)), epsilon=-1.0), ValueError, "epsilon=-1.0 must be positive"),
        (lambda f: f(np.ones((4, 4, 1), complex)), TypeError, "x must have real numbers, not complex"),
        (lambda f: f(np.ones((4, 4, 1)), window_shape=9), ShapeError, "window_shape=9 can be read as"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(functional.local_contrast_norm)
