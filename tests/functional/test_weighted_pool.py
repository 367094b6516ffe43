"""weighted_pool against loops and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled_functions
from tests.examples import examples
from tests.functional.pools import Pool, pools
from tests.oracles import pool as oracle

F = compiled_functions(functional)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@examples(25)
@given(pools())
def test_agrees_with_loops(case: Pool) -> None:
    """Values by loops, and both gradients by the adjoint identity, since the pool is linear in each argument."""
    x, kernel = normal(*case.x.shape), normal(*case.window, seed=1)
    expected = oracle.weighted_pool(x, kernel, *case.walk[1:])
    g = normal(*expected.shape, seed=2)

    @jax.jit
    def both_ways(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple:
        y, back = jax.vjp(lambda x, kernel: F.weighted_pool(x, kernel, **case.options), x, kernel)
        return y, *back(g)

    y, x_grad, kernel_grad = jax.device_get(both_ways(x, kernel, g))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((x_grad * x).sum(), (expected * g).sum(), rtol=1e-3, atol=1e-4)
    other = normal(*case.window, seed=3)
    change = (oracle.weighted_pool(x, other, *case.walk[1:]) * g).sum()
    np.testing.assert_allclose((kernel_grad * other).sum(), change, rtol=1e-3, atol=1e-4)


def test_scipy_agrees_on_each_channel() -> None:
    x, kernel = normal(9, 8, 3), normal(3, 5, seed=1)
    y = F.weighted_pool(x, kernel, strides=1, padding="SAME")
    for c in range(3):
        expected = scipy.ndimage.correlate(x[..., c].astype(np.float64), kernel.astype(np.float64), mode="constant")
        np.testing.assert_allclose(y[..., c], expected, rtol=1e-4, atol=1e-5)


def test_equal_weights_that_sum_to_one_are_the_average() -> None:
    x = normal(2, 7, 6, 3)
    y = F.weighted_pool(x, jnp.full((3, 2), 1 / 6), strides=2, padding=1)
    expected = F.avg_pool(x, (3, 2), strides=2, padding=1, count_include_pad=True)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_dtypes() -> None:
    """Integers do not wrap; mixed types promote."""
    x, kernel = np.full((4, 1), 200, np.uint8), np.full(2, 3, np.uint8)
    y = F.weighted_pool(x, kernel, strides=2)
    assert y.dtype == jnp.int32 and y[:, 0].tolist() == [1200, 1200]
    assert F.weighted_pool(jnp.ones((4, 1), jnp.bfloat16), jnp.ones(2), strides=2).dtype == jnp.float32
    half = F.weighted_pool(jnp.full((600, 1), 1.0, jnp.bfloat16), jnp.ones(300, jnp.bfloat16), strides=300)
    assert half.dtype == jnp.bfloat16 and half[:, 0].tolist() == [300, 300]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    x, kernel = normal(*batch, 6, 5, 2), normal(2, 2, seed=1)
    y = F.weighted_pool(x, kernel, strides=2, ceil_mode=True)
    assert y.shape == (*batch, 3, 3, 2)
    for at in np.ndindex(*batch):
        np.testing.assert_allclose(y[at], F.weighted_pool(x[at], kernel, strides=2, ceil_mode=True), rtol=1e-5)


def test_mistakes_are_refused() -> None:
    x = jnp.ones((2, 6, 3))
    with pytest.raises(ShapeError, match="weighted_pool: the kernel is one number"):
        F.weighted_pool(x, 0.5, strides=1)
    with pytest.raises(ShapeError, match="weighted_pool: on spatial axis 0 the window of 7 is larger than the input"):
        F.weighted_pool(x, jnp.ones(7), strides=1)
    with pytest.raises(ShapeError, match="weighted_pool: 3 spatial axes and one of channels require at least 4 axes"):
        F.weighted_pool(x, jnp.ones((2, 2, 2)), strides=1)
    with pytest.raises(TypeError, match="strides is missing"):
        F.weighted_pool(x, jnp.ones(2))
