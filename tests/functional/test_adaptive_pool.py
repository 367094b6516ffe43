"""Adaptive, global and pyramid pools against slices of the input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import adaptive_bins
from tests.compiled import compiled_functions
from tests.examples import examples
from tests.oracles import pool as oracle

F = compiled_functions(functional)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@examples(25)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 9)), min_size=1, max_size=2), st.integers(0, 99))
def test_agrees_with_slices(axes: list[tuple[int, int]], seed: int) -> None:
    sizes, output = zip(*axes, strict=True)
    x = normal(*sizes, 2, seed=seed)
    average = F.adaptive_avg_pool(x, output)
    assert average.shape == (*output, 2)
    np.testing.assert_allclose(average, oracle.adaptive_pool(x, output, np.mean), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(F.adaptive_max_pool(x, output), oracle.adaptive_pool(x, output, np.max))


@pytest.mark.parametrize(("sizes", "output"), [((6, 9), (3, 3)), ((10, 7), (4, 5)), ((12, 3), (1, 4))])
def test_the_gradient_goes_to_the_first_maximum(sizes: tuple[int, int], output: tuple[int, int]) -> None:
    x = np.maximum(np.random.default_rng(0).integers(-3, 3, (*sizes, 3)), 0).astype(np.float32)
    g = np.random.default_rng(1).integers(-5, 6, (*output, 3)).astype(np.float32)
    _, back = jax.vjp(lambda x: F.adaptive_max_pool(x, output), x)
    expected = np.zeros_like(x)
    bins = [adaptive_bins(n, m) for n, m in zip(sizes, output, strict=True)]
    for i, j, c in np.ndindex(*output, 3):
        (top, bottom), (left, right) = bins[0][i], bins[1][j]
        part = x[top:bottom, left:right, c]
        row, column = np.unravel_index(np.argmax(part), part.shape)
        expected[top + row, left + column, c] += g[i, j, c]
    np.testing.assert_array_equal(back(g)[0], expected)


def test_none_keeps_an_axis() -> None:
    x = normal(2, 6, 5, 3)
    np.testing.assert_allclose(F.adaptive_avg_pool(x, (None, 1))[:, :, 0], x.mean(2), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(F.adaptive_max_pool(x, (2, None)), x.reshape(2, 2, 3, 5, 3).max(2))


def test_global_pools_reduce_all_but_the_first_and_the_last_axis() -> None:
    for shape in ((2, 5, 4, 3), (2, 3, 4, 5, 6)):
        x = normal(*shape)
        axes = tuple(range(1, x.ndim - 1))
        np.testing.assert_allclose(F.global_avg_pool(x), x.mean(axes), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(F.global_max_pool(x), x.max(axes))
        np.testing.assert_array_equal(F.global_max_pool(x, keepdims=True), x.max(axes, keepdims=True))
        np.testing.assert_allclose(
            F.global_avg_pool(x, keepdims=True), x.mean(axes, keepdims=True), rtol=1e-5, atol=1e-6
        )


def test_spatial_ndim_leaves_any_number_of_batch_axes() -> None:
    x = normal(2, 3, 5, 4, 6)
    np.testing.assert_array_equal(F.global_max_pool(x, spatial_ndim=2), x.max((2, 3)))
    np.testing.assert_array_equal(F.global_max_pool(x[0, 0], spatial_ndim=2), x[0, 0].max((0, 1)))
    np.testing.assert_allclose(F.global_avg_pool(x, spatial_ndim=1), x.mean(3), rtol=1e-5, atol=1e-6)
    assert F.global_max_pool(x[:0]).shape == F.global_avg_pool(x[:0]).shape == (0, 6)


def test_the_gradient_of_the_global_maximum_goes_to_the_first() -> None:
    x = np.maximum(np.random.default_rng(0).integers(-9, 3, (4, 5, 5, 6)), 0).astype(np.float32)
    grad = jax.grad(lambda x: F.global_max_pool(x).sum())(x).reshape(4, 25, 6)
    np.testing.assert_array_equal(grad.sum(1), 1)
    np.testing.assert_array_equal(grad.argmax(1), x.reshape(4, 25, 6).argmax(1))
    lost = jax.grad(lambda x: F.global_max_pool(x).sum())(np.full((1, 3, 3, 1), -np.inf, np.float32))
    np.testing.assert_array_equal(lost.ravel(), [1, 0, 0, 0, 0, 0, 0, 0, 0])


def test_nan_is_not_lost() -> None:
    x = normal(2, 9, 3)
    x[0, 4, 1] = np.nan
    pools = (functools.partial(pool, spatial_ndim=1) for pool in (F.global_max_pool, F.global_avg_pool))
    for y in (*(pool(x) for pool in pools), F.adaptive_max_pool(x, (1,))[:, 0]):
        np.testing.assert_array_equal(np.isnan(y), [[False, True, False], [False, False, False]])


def test_dtypes() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), np.uint8)
    for y in (F.global_max_pool(x), F.adaptive_max_pool(x, (4, 4)), F.spatial_pyramid_pool(x, (1, 2))):
        assert y.dtype == jnp.uint8
    np.testing.assert_allclose(F.global_avg_pool(x), x.mean((1, 2)), rtol=1e-6)
    assert F.adaptive_avg_pool(x, (2, 2)).dtype == F.spatial_pyramid_pool(x, (1,), kind="avg").dtype == jnp.float32
    assert F.global_max_pool(x > 250).tolist() == (x > 250).any((1, 2)).tolist()
    for dtype in (jnp.float16, jnp.bfloat16):  # 3600 entries near 300 sum to more than float16 holds
        y = F.global_avg_pool(jnp.full((1, 60, 60, 1), 300, dtype))
        assert y.dtype == dtype and y[0, 0] == 300


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    x = normal(*batch, 7, 5, 2)
    for pool in (F.adaptive_avg_pool, F.adaptive_max_pool):
        y = pool(x, (3, 4))
        assert y.shape == (*batch, 3, 4, 2)
        for at in np.ndindex(*batch):
            np.testing.assert_allclose(y[at], pool(x[at], (3, 4)), rtol=1e-6)


def test_the_pyramid_lays_levels_then_bins_then_channels() -> None:
    x = normal(3, 6, 4, 2)
    for kind, reduce in (("max", np.max), ("avg", np.mean)):
        expected = [
            np.concatenate([oracle.adaptive_pool(image, level, reduce).ravel() for level in ((1, 1), (2, 2), (3, 1))])
            for image in x
        ]
        y = F.spatial_pyramid_pool(x, (1, 2, (3, 1)), kind=kind)
        assert y.shape == (3, (1 + 4 + 3) * 2)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_the_four_quadrants() -> None:
    """Coates, Lee and Ng (2011): features summed over the quadrants of the image; averaged in this test."""
    x = normal(2, 8, 8, 5)
    quadrants = [x[:, :4, :4], x[:, :4, 4:], x[:, 4:, :4], x[:, 4:, 4:]]
    expected = np.concatenate([quadrant.mean((1, 2)) for quadrant in quadrants], -1)
    np.testing.assert_allclose(F.spatial_pyramid_pool(x, (2,), kind="avg"), expected, rtol=1e-5, atol=1e-6)


def test_a_pyramid_is_as_long_for_images_of_any_size() -> None:
    lengths = {F.spatial_pyramid_pool(normal(1, *sizes, 3), (1, 2, 4)).shape for sizes in ((4, 4), (7, 5), (9, 13))}
    assert lengths == {(1, 63)}
    assert F.spatial_pyramid_pool(normal(7, 5, 3), (1, 2), spatial_ndim=2).shape == (15,)
    assert F.spatial_pyramid_pool(normal(2, 7, 3), (1, 2), spatial_ndim=1).shape == (2, 9)


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool, F.adaptive_max_pool])
def test_adaptive_mistakes_are_refused(pool: object) -> None:
    who = pool.__name__
    x = jnp.ones((2, 6, 5, 3))
    with pytest.raises(ShapeError, match=rf"{who}: output_size=7 can be read as \(7,\) .* or as \(7, 7\) for images"):
        pool(x, 7)
    with pytest.raises(ShapeError, match=rf"{who}: output_size=\(0, 1\) must be at least 1"):
        pool(x, (0, 1))
    with pytest.raises(TypeError, match=f"{who}: output_size must be an integer, not 2.5"):
        pool(x, (2.5, 1))
    with pytest.raises(ShapeError, match=f"{who}: 4 spatial axes before the channels do not fit"):
        pool(x, (1, 1, 1, 1))
    with pytest.raises(ShapeError, match=f"{who}: x has a spatial axis of size 0"):
        pool(x[:, :0], (1, 1))


@pytest.mark.parametrize("pool", [F.global_avg_pool, F.global_max_pool])
def test_global_mistakes_are_refused(pool: object) -> None:
    who = pool.__name__
    both = "Write spatial_ndim=1 if the first axis is a batch, spatial_ndim=2 if it is spatial, as inside jax.vmap"
    with pytest.raises(ShapeError, match=rf"{who}: x.shape=\(4, 4, 8\) can be read with or .* {both}"):
        pool(jnp.ones((4, 4, 8)))
    with pytest.raises(ShapeError, match=rf"{who}: x.shape=\(5, 3\) is too short .* write spatial_ndim=1"):
        pool(jnp.ones((5, 3)))
    with pytest.raises(ShapeError, match=f"{who}: 3 spatial axes before the channels do not fit"):
        pool(jnp.ones((2, 5, 3)), spatial_ndim=3)
    with pytest.raises(ShapeError, match=f"{who}: 0 spatial axes before the channels do not fit"):
        pool(jnp.ones((2, 5, 3)), spatial_ndim=0)
    with pytest.raises(TypeError, match=f"{who}: spatial_ndim must be an integer"):
        pool(jnp.ones((2, 5, 3)), spatial_ndim="2")
    with pytest.raises(ShapeError, match=f"{who}: x has a spatial axis of size 0"):
        pool(jnp.ones((2, 0, 3)), spatial_ndim=1)


def test_images_of_more_positions_than_int32_holds() -> None:
    """Shapes only: averages and maxima do not count positions, and indices are refused."""
    huge = jax.ShapeDtypeStruct((1, 60000, 60000, 1), jnp.float32)
    for pool in (F.global_avg_pool, F.global_max_pool, lambda x: F.avg_pool(x, (60000, 60000), strides=1)):
        y = jax.eval_shape(pool, huge)
        assert y.size == 1
        assert jax.eval_shape(jax.grad(lambda x, pool=pool: pool(x).sum()), huge).shape == huge.shape
    with pytest.raises(ShapeError, match=r"max_pool_with_indices: the spatial shape of x=.* has 3,600,000,000"):
        jax.eval_shape(lambda x: F.max_pool_with_indices(x, (2, 2), strides=2), huge)
    with pytest.raises(ShapeError, match=r"max_unpool: output_shape=.* 3,600,000,000 positions, but indices are int32"):
        F.max_unpool(jnp.ones((1, 2, 2, 1)), jnp.ones((1, 2, 2, 1), jnp.int32), (60000, 60000))


def test_a_maximum_found_axis_by_axis_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The algorithm for images with too many positions, at a lower limit."""
    x = np.random.default_rng(0).integers(0, 4, (3, 5, 7, 2)).astype(np.float32)
    function = jax.value_and_grad(lambda x: F.global_max_pool(x).sum())
    value, grad = function(x)
    monkeypatch.setattr("jaxcnn.functional._adaptive_pool.MOST_POSITIONS", 10)
    jax.clear_caches()
    again, same = function(x)
    assert value == again
    np.testing.assert_array_equal(grad, same)


def test_pyramid_mistakes_are_refused() -> None:
    x = jnp.ones((2, 6, 5, 3))
    with pytest.raises(TypeError, match="spatial_pyramid_pool: levels must have one entry per level, such as"):
        F.spatial_pyramid_pool(x, 4)
    with pytest.raises(ShapeError, match=r"spatial_pyramid_pool: levels=\(\) has no level"):
        F.spatial_pyramid_pool(x, ())
    with pytest.raises(ShapeError, match="spatial_pyramid_pool: a level=0 must be at least 1"):
        F.spatial_pyramid_pool(x, (1, 0))
    with pytest.raises(ShapeError, match=r"spatial_pyramid_pool: a level=\(1, 2, 3\) has 3 entries but there are 2"):
        F.spatial_pyramid_pool(x, ((1, 2, 3),))
    with pytest.raises(ValueError, match=r"spatial_pyramid_pool: kind='mx' is not known. Did you mean 'max'"):
        F.spatial_pyramid_pool(x, (1,), kind="mx")
