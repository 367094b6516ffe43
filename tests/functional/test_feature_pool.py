"""feature_pool: maxout, averages and norms over groups of channels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled_functions
from tests.tiers import default_rows

F = compiled_functions(functional)

REDUCE: dict[str, Any] = {
    "max": lambda group: group.max(),
    "avg": lambda group: group.mean(),
    "l2": lambda group: np.sqrt((group**2).sum()),
}


@pytest.mark.parametrize("kind", REDUCE)
@pytest.mark.parametrize("size", default_rows([1, 2, 3, 6, 12], keep=[1, 3, 12]))
@pytest.mark.parametrize("shape", [(12,), (3, 12), (2, 3, 4, 12), (0, 12)])
def test_agrees_with_loops(shape: tuple[int, ...], size: int, kind: str) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y = F.feature_pool(x, size, kind=kind)
    expected = np.zeros((*shape[:-1], shape[-1] // size))
    for position in np.ndindex(*expected.shape):
        start = position[-1] * size
        expected[position] = REDUCE[kind](x[position[:-1]][start : start + size].astype(np.float64))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 6])
def test_the_gradient_goes_to_the_first_maximum(size: int) -> None:
    x = np.maximum(np.random.default_rng(0).integers(-3, 3, (40, 12)), 0).astype(np.float32)
    grad = jax.grad(lambda x: F.feature_pool(x, size).sum())(x)
    expected = np.zeros_like(x)
    for row, channel in np.ndindex(40, 12 // size):
        expected[row, channel * size + np.argmax(x[row, channel * size : (channel + 1) * size])] = 1
    np.testing.assert_array_equal(grad, expected)


def test_the_norm_has_finite_derivatives_at_zero() -> None:
    function = lambda x: F.feature_pool(x, 2, kind="l2").sum()  # noqa: E731
    x = jnp.array([0.0, 0.0, 3.0, 4.0])
    np.testing.assert_allclose(jax.grad(function)(x), [0, 0, 0.6, 0.8], rtol=1e-6)
    assert np.isfinite(jax.hessian(function)(x)).all()


def test_two_linear_pieces_make_the_absolute_value() -> None:
    """Maxout learns its activation; here it is the maximum of x and -x."""
    x = np.linspace(-2, 2, 9, dtype=np.float32)
    np.testing.assert_array_equal(F.feature_pool(np.stack([x, -x], -1), 2)[:, 0], np.abs(x))


def test_dtypes() -> None:
    x = jnp.array([200, 100, 250, 0], jnp.uint8)
    assert F.feature_pool(x, 2).tolist() == [200, 250] and F.feature_pool(x, 2).dtype == jnp.uint8
    assert F.feature_pool(x, 2, kind="avg").tolist() == [150, 125]
    assert F.feature_pool(jnp.array([True, False, False, False]), 2).tolist() == [True, False]
    half = F.feature_pool(jnp.full(400, 100, jnp.float16), 400, kind="l2")  # the sum of squares is 4e6
    assert half.dtype == jnp.float16 and half[0] == 2000


def test_mistakes_are_refused() -> None:
    x = jnp.ones((2, 12))
    with pytest.raises(ShapeError, match=r"feature_pool: 12 channels do not make groups of 5. Sizes that fit: 1, 2, 3"):
        F.feature_pool(x, 5)
    with pytest.raises(ShapeError, match="feature_pool: size=0 must be at least 1"):
        F.feature_pool(x, 0)
    with pytest.raises(TypeError, match=r"feature_pool: size must be an integer, not 2.0"):
        F.feature_pool(x, 2.0)
    with pytest.raises(ValueError, match=r"feature_pool: kind='avgs' is not known. Did you mean 'avg'"):
        F.feature_pool(x, 2, kind="avgs")
    with pytest.raises(ShapeError, match=r"feature_pool: 0 channels do not make groups of 2. Sizes that fit: none"):
        F.feature_pool(jnp.ones(()), 2)
    with pytest.raises(TypeError, match="feature_pool: x is complex"):
        F.feature_pool(x.astype(jnp.complex64), 2)
    with pytest.raises(TypeError, match="feature_pool: x holds booleans"):
        F.feature_pool(x > 0, 2, kind="avg")
