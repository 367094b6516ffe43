"""Pools for retrieval against NumPy, and the regions of R-MAC against the published code."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, functional, nn
from jaxcnn.functional._descriptors import _regions
from tests.compiled import compiled_functions

F = compiled_functions(functional)
X = np.random.default_rng(0).standard_normal((2, 5, 7, 3)).astype(np.float32)


def test_maximum_mean_and_generalised_mean() -> None:
    np.testing.assert_array_equal(F.mac(X), X.max((1, 2)))
    np.testing.assert_allclose(F.spoc(X), X.mean((1, 2)), rtol=1e-5, atol=1e-6)
    powers = np.array([1.0, 3.0, 40.0])
    wanted = (np.maximum(X.astype(np.float64), 1e-6) ** powers).mean((1, 2)) ** (1 / powers)
    np.testing.assert_allclose(F.gem(X, p=powers.astype(np.float32)), wanted, rtol=1e-5)
    large = F.gem(1e30 * X, p=3.0)  # the third power overflows float32
    np.testing.assert_allclose(large, 1e30 * np.asarray(F.gem(X, p=3.0)), rtol=1e-5)
    geometric = np.exp(np.log(np.maximum(X, 1e-6).astype(np.float64)).mean((1, 2)))
    np.testing.assert_allclose(F.gem(X, p=1e-8), geometric, rtol=1e-5)
    infinite = np.array([[[np.inf, 1.0], [2.0, 1.0]]], np.float32)
    np.testing.assert_allclose(F.gem(infinite, p=3.0), [np.inf, 1], rtol=1e-6)


def test_the_exponent_has_the_derivative_of_finite_differences() -> None:
    with jax.enable_x64(True):
        x = jnp.asarray(X, jnp.float64)
        value = jax.jit(lambda p: functional.gem(x, p=p).sum())
        gradient = jax.jit(jax.grad(lambda p: functional.gem(x, p=p).sum()))(2.5)
        np.testing.assert_allclose(gradient, (value(2.5 + 1e-5) - value(2.5 - 1e-5)) / 2e-5, rtol=1e-6)


def test_the_module_trains_its_exponent() -> None:
    y, variables = jax.jit(nn.GeM(p=2.0, per_channel=True).init_with_output)(jax.random.key(0), X)
    assert variables["params"]["p"].shape == (3,)
    np.testing.assert_allclose(y, F.gem(X, p=2.0), rtol=1e-6)


def published_regions(height: int, width: int, levels: int) -> list[tuple[int, list[int], list[int]]]:
    """The algorithm of the authors: centres of regions, minus their half sides."""
    w = min(height, width)
    more = 0
    if height != width:
        steps = np.arange(2, 8)
        b = (max(height, width) - w) / (steps - 1)
        more = int(np.argmin(np.abs((w**2 - w * b) / w**2 - 0.4))) + 1
    found = []
    for level in range(1, levels + 1):
        side = math.floor(2 * w / (level + 1))
        if side == 0:
            continue
        half = math.floor(side / 2 - 1)
        starts = []
        for size in (height, width):
            count = level + (more if size > w else 0)
            b = 0 if count == 1 else (size - side) / (count - 1)
            starts.append([math.floor(half + index * b) - half for index in range(count)])
        found.append((side, *starts))
    return found


def test_regions_are_those_of_the_authors() -> None:
    for height, width in ((5, 7), (7, 5), (6, 6), (3, 16), (1, 2), (12, 17)):
        assert _regions(height, width, 4) == published_regions(height, width, 4)


def test_regional_maxima_against_loops() -> None:
    wanted = np.zeros((2, 3))
    for side, rows, columns in [(max(X.shape), [0], [0]), *published_regions(5, 7, 3)]:
        for row in rows:
            for column in columns:
                vector = X[:, row : row + side, column : column + side].max((1, 2)).astype(np.float64)
                wanted += vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    np.testing.assert_allclose(F.r_mac(X), wanted, rtol=1e-5)
    np.testing.assert_array_equal(F.r_mac(np.zeros((4, 4, 2), np.float32)), [0, 0])
    for scale in (1e25, 1e-25):  # the squares overflow or underflow float32
        np.testing.assert_allclose(F.r_mac(np.float32(scale) * X), wanted, rtol=1e-5)
    assert F.r_mac(X[..., :0]).shape == (2, 0)


def test_the_largest_numbers_and_those_that_are_not_finite() -> None:
    """XLA divides by the product with a reciprocal, which is 0 for the largest numbers."""
    largest = np.full((2, 2, 2), 3e38, np.float32)
    np.testing.assert_allclose(F.gem(largest), largest[0, 0], rtol=1e-6)
    np.testing.assert_allclose(F.gem(largest, p=200.0), largest[0, 0], rtol=1e-6)
    np.testing.assert_allclose(F.r_mac(largest), [0.5**0.5] * 2, rtol=1e-6)
    for strange in (np.nan, np.inf):
        x = np.where(np.arange(8).reshape(2, 2, 2) == 0, strange, 1).astype(np.float32)
        assert np.isnan(F.r_mac(x)).all() and not np.isfinite(F.gem(x)[0])


def test_refusals() -> None:
    for function in (functional.mac, functional.spoc, functional.gem, functional.r_mac):
        with pytest.raises(ShapeError, match=r"expected a map \(\*batch, height, width, channels\) with positions"):
            function(X[0, 0])
    with pytest.raises(ShapeError, match=r"gem: p must be one number, or one for each of the 3 channels; got p.shape"):
        functional.gem(X, p=np.ones(2, np.float32))
    for function in (functional.mac, functional.gem, functional.r_mac):
        with pytest.raises(TypeError, match=rf"{function.__name__}: x is complex .* have no order"):
            function(X.astype(complex))
    for epsilon in (0, "a", np.ones(3)):
        with pytest.raises(ValueError, match=r"gem: epsilon=.* must be a positive number: a power of 0 has no"):
            functional.gem(X, epsilon=epsilon)  # type: ignore[arg-type]
    for p in (0, np.float32(-1), [1.0, 0.0, 2.0]):
        with pytest.raises(ValueError, match=r"gem: p=.* must be positive: 1 for the mean"):
            functional.gem(X, p=p)
    with pytest.raises(ValueError, match=r"p=-1.0 must be positive: 1 for the mean"):
        nn.GeM(p=-1.0).init(jax.random.key(0), X)
    with pytest.raises(ValueError, match=r"r_mac: levels=0 must be at least 1"):
        functional.r_mac(X, levels=0)
