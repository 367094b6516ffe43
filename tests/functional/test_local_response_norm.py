"""Local response norm against loops, against ONNX's formula, and in special cases."""

from typing import Any

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
from tests.oracles import local_response_norm as oracle
from tests.tiers import default_rows

local_response_norm = compiled(functional.local_response_norm)


@given(
    shape=st.lists(st.integers(1, 3), max_size=3),
    channels=st.integers(1, 9),
    size=st.integers(1, 11),
    k=st.floats(0.5, 3),
    alpha=st.floats(0, 2),
    beta=st.floats(0.1, 2),
    seed=st.integers(0, 2**31),
)
@examples(15)
def test_against_loops(
    shape: list[int], channels: int, size: int, k: float, alpha: float, beta: float, seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal((*shape, channels))
    with jax.enable_x64(True):
        y = local_response_norm(x, size=size, k=k, alpha=alpha, beta=beta)
    expected = oracle.local_response_norm(x, size=size, k=k, alpha=alpha, beta=beta)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", default_rows([1, 2, 3, 4, 5, 8], keep=[1, 4, 5]))
def test_alpha_over_size_is_onnx(size: int, key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 3, 4, 7))
    y = local_response_norm(x, size=size, k=1.0, alpha=0.2 / size, beta=0.75)
    expected = oracle.onnx(np.asarray(x, float), size=size, bias=1.0, alpha=0.2, beta=0.75)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_the_defaults_are_those_of_alexnet(key: jax.Array) -> None:
    x = 100 * jax.random.normal(key, (2, 2, 9))
    expected = oracle.local_response_norm(np.asarray(x, float), size=5, k=2, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(local_response_norm(x), expected, rtol=1e-5)


def test_a_loud_neighbour_lowers_the_response() -> None:
    quiet, loud = jnp.array([0.0, 1, 0, 0, 0]), jnp.array([0.0, 1, 9, 0, 0])
    options = {"size": 3, "alpha": 1.0}
    assert local_response_norm(loud, **options)[1] < 0.1 * local_response_norm(quiet, **options)[1]
    far = jnp.array([0.0, 1, 0, 9, 0])  # outside the window
    assert local_response_norm(far, **options)[1] == local_response_norm(quiet, **options)[1]


@pytest.mark.gate
def test_derivatives_to_second_order(key: jax.Array) -> None:
    with jax.enable_x64(True):
        x = jax.random.normal(key, (2, 2, 6), jnp.float64)
        check_grads(lambda x: local_response_norm(x, alpha=0.7), (x,), order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_computed_in_single(dtype: Any, key: jax.Array) -> None:
    x = (300 * jax.random.normal(key, (4, 6))).astype(dtype)  # the squares overflow float16
    y = local_response_norm(x, alpha=0.1)
    assert y.dtype == dtype
    expected = oracle.local_response_norm(np.asarray(x, float), size=5, k=2, alpha=0.1, beta=0.75)
    np.testing.assert_allclose(np.asarray(y, float), expected, rtol=1e-2)


def test_integers_become_float32() -> None:
    y = local_response_norm(np.array([[3, 200, 7]], np.uint8), alpha=1.0)
    assert y.dtype == jnp.float32
    expected = oracle.local_response_norm(np.array([[3.0, 200, 7]]), size=5, k=2, alpha=1, beta=0.75)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_an_empty_batch() -> None:
    assert local_response_norm(jnp.zeros((0, 4, 4, 3))).shape == (0, 4, 4, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: local_response_norm(x, size=0), ShapeError, "local_response_norm: size=0 must be at least 1"),
        (
            lambda x: local_response_norm(x, size=2.5),
            TypeError,
            "local_response_norm: size must be an integer, not 2.5",
        ),
        (lambda x: local_response_norm(x, k=-1.0), ValueError, "k=-1.0 must not be negative"),
        (lambda x: local_response_norm(x, alpha=-1.0), ValueError, "alpha=-1.0 must not be negative"),
        (lambda x: local_response_norm(x[0, 0]), ShapeError, "x must have the shape .* but is a scalar"),
        (lambda x: local_response_norm(x + 1j), TypeError, "must have real numbers, not complex"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.ones((2, 3)))
