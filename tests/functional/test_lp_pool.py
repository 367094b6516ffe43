"""lp_pool against loops, and its derivatives where the norm is not differentiable."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled_functions
from tests.examples import examples
from tests.functional.pools import Pool, pools
from tests.oracles import pool as oracle
from tests.tiers import default_rows

F = compiled_functions(functional)


@examples(25)
@given(pools(), st.sampled_from([0.5, 1, 1.5, 2, 3, 4.0, math.inf]))
def test_agrees_with_loops(case: Pool, p: float) -> None:
    x = np.where(np.isinf(case.x), np.random.default_rng(0).standard_normal(case.x.shape), case.x).astype(np.float32)
    y = F.lp_pool(x, case.window, p=p, **case.options)
    np.testing.assert_allclose(y, oracle.lp_pool(x, p, *case.walk), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", default_rows([0.5, 1, 1.5, 2, 2.5, 3, math.inf], keep=[1.5, math.inf]))
def test_derivatives_agree_with_finite_differences(p: float) -> None:
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        x, direction = generator.standard_normal((5, 6, 2)), generator.standard_normal((5, 6, 2))

        @jax.jit
        def loss(x: jax.Array) -> jax.Array:
            return (F.lp_pool(x, (3, 2), strides=(1, 2), p=p) ** 2).sum()

        grad, second = jax.jit(lambda x, t: jax.jvp(jax.grad(loss), (x,), (t,)))(x, direction)
        step = 1e-5
        slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
        np.testing.assert_allclose((grad * direction).sum(), slope, rtol=1e-6)
        gradient = jax.jit(jax.grad(loss))
        change = (gradient(x + step * direction) - gradient(x - step * direction)) / (2 * step)
        np.testing.assert_allclose(second, change, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("p", default_rows([0.5, 1, 1.5, 2, 2.5, 3, math.inf], keep=[1, 2, 2.5]))
@pytest.mark.parametrize("entry", default_rows([0.0, 1.0], keep=[0.0]))
def test_derivatives_at_zero_are_finite_to_third_order(p: float, entry: float) -> None:
    """All zeros, and zeros with one other entry.

    With one other entry, the norm is smooth in that entry and has the slope 1.
    """
    x = np.float32([[entry], [0], [0], [0]])
    function = lambda x: F.lp_pool(x, (2,), strides=2, p=p).sum()  # noqa: E731
    derivatives = [jax.grad(function), jax.hessian(function), jax.jacrev(jax.jacfwd(jax.jacfwd(function)))]
    found = jax.jit(lambda x: [derivative(x) for derivative in derivatives])(x)
    for order, derivative in enumerate(found, start=1):
        assert np.isfinite(derivative).all(), f"order {order}"
    np.testing.assert_array_equal(np.asarray(found[0])[:, 0], [entry, 0, 0, 0])


def test_large_p_nears_the_maximum_and_inf_is_it() -> None:
    x = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
    greatest = np.abs(x).reshape(4, 3, 3).max(1)
    np.testing.assert_allclose(F.lp_pool(x, (3,), strides=3, p=60), greatest, rtol=0.02)
    np.testing.assert_array_equal(F.lp_pool(x, (3,), strides=3, p=math.inf), greatest)
    _, back = jax.vjp(lambda x: F.lp_pool(x, (2,), strides=2, p=math.inf), jnp.array([[-3.0], [3.0], [1.0], [-2.0]]))
    np.testing.assert_array_equal(back(jnp.ones((2, 1)))[0][:, 0], [-1, 0, 0, -1])


@pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
def test_partial_windows_are_summed_as_they_are_and_padding_adds_nothing(p: float) -> None:
    x = np.array([3.0, -4.0, 2.0], np.float32)[:, None]
    y = F.lp_pool(x, (2,), strides=2, p=p, ceil_mode=True)
    assert y[1, 0] == pytest.approx(2)
    padded = F.lp_pool(x, (2,), strides=2, p=p, padding=((4, 1),))
    np.testing.assert_allclose(padded[:, 0], [0, 0, y[0, 0], 2], rtol=1e-6)


@pytest.mark.parametrize("p", [2, 2.5, math.inf])
def test_nan_is_not_lost(p: float) -> None:
    x = np.array([1.0, np.nan, 3.0, 4.0], np.float32)[:, None]
    np.testing.assert_array_equal(np.isnan(F.lp_pool(x, (2,), strides=2, p=p))[:, 0], [True, False])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int8, jnp.uint8])
def test_dtypes(dtype: Any) -> None:
    """The square of 100 overflows int8, and the sum of many squares overflows float16."""
    x = jnp.full((50, 1), 100, dtype)
    y = F.lp_pool(x, (50,), strides=1)
    assert y.dtype == (dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.float32)
    assert float(y[0, 0]) == pytest.approx(100 * 50**0.5, rel=2**-8)


@pytest.mark.parametrize("p", default_rows([0.5, 1, 2, 3, 7.5], keep=[3]))
@pytest.mark.parametrize(
    ("window", "stride"),
    [(12, 12), *(pytest.param(*row, marks=pytest.mark.gate) for row in [(3, 1), (3, 12), (12, 1)])],
)
def test_no_power_overflows_or_underflows(p: float, window: int, stride: int) -> None:
    """Values and gradients of tiny and huge entries equal those of float64, also next to windows of another scale."""
    sizes = np.repeat([1e30, 1e-30, 1.0, 1e-35, 1e30], 12)[:, None]
    x = (np.random.default_rng(0).uniform(0.5, 1, sizes.shape) * sizes).astype(np.float32)

    def both(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, back = jax.vjp(lambda x: F.lp_pool(x, (window,), strides=stride, p=p), x)
        return y, back(jnp.ones_like(y))[0]

    y, grad = jax.jit(both)(x)
    with jax.enable_x64(True):
        exact, slope = jax.jit(both)(x.astype(np.float64))
    np.testing.assert_allclose(y, exact, rtol=1e-5)
    if p >= 1:  # otherwise the derivative of a tiny entry in a window of huge entries would grow
        np.testing.assert_allclose(grad, slope, rtol=1e-4, atol=1e-30)
    huge = np.asarray(F.feature_pool(np.full((2, 4), 1e30, np.float32), 4, kind="l2"))
    np.testing.assert_allclose(huge, 2e30, rtol=1e-6)


def test_mistakes_are_refused() -> None:
    x = jnp.ones((2, 6, 3))
    for p in (0, -1.5, math.nan):
        with pytest.raises(ValueError, match=f"lp_pool: p={p} must be positive. Write p=1 for a sum"):
            F.lp_pool(x, (2,), strides=1, p=p)
    for p in ("2", True, jnp.ones(())):
        with pytest.raises(TypeError, match="lp_pool: p must be a positive number or inf"):
            F.lp_pool(x, (2,), strides=1, p=p)
    with pytest.raises(TypeError, match="lp_pool: x is complex"):
        F.lp_pool(x.astype(jnp.complex64), (2,), strides=1)
    with pytest.raises(TypeError, match="lp_pool: x holds booleans"):
        F.lp_pool(x > 0, (2,), strides=1)
    with pytest.raises(TypeError, match="strides is missing"):
        F.lp_pool(x, (2,))
    with pytest.raises(ShapeError, match=r"lp_pool: window_shape=3 can be read as \(3,\)"):
        F.lp_pool(x, 3, strides=1)


@pytest.mark.parametrize("p", default_rows([1, 2, 3, 2.5, math.inf], keep=[2.5, math.inf]))
def test_a_window_of_one_entry_gives_its_magnitude(p: float) -> None:
    x = np.float32([3, -4, 0, -1])[:, None]
    np.testing.assert_allclose(F.lp_pool(x, (1,), strides=1, p=p), np.abs(x), rtol=1e-6)
    np.testing.assert_allclose(F.lp_pool(x, (1,), strides=2, padding=1, p=p)[:, 0], [0, 4, 1], rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: F.lp_pool(x, (1,), strides=1, p=p).sum()))(x)
    np.testing.assert_allclose(gradient, np.sign(x), rtol=1e-6)
