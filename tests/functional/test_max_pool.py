"""max_pool, min_pool and max_pool_with_indices against loops, on inputs with many ties and ``-inf``."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from jaxcnn import functional, nn
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import pool_output_shape
from tests.compiled import compiled_functions
from tests.examples import examples
from tests.functional.pools import Pool, pools, ties
from tests.oracles import pool as oracle

F = compiled_functions(functional)


def check_against_loops(case: Pool) -> None:
    """Compares values, indices and the gradients of maximum and minimum, from one program."""
    expected, where = oracle.max_pool(case.x, *case.walk)
    lowest, _ = oracle.max_pool(case.x, *case.walk, sign=-1)
    g = np.random.default_rng(0).integers(-5, 6, expected.shape).astype(np.float32)

    @jax.jit
    def program(x: jax.Array, g: jax.Array) -> Any:
        y, back = jax.vjp(lambda x: F.max_pool(x, case.window, **case.options), x)
        low, low_back = jax.vjp(lambda x: F.min_pool(x, case.window, **case.options), x)
        result, indices = F.max_pool_with_indices(x, case.window, **case.options)
        return y, back(g)[0], low, low_back(g)[0], result, indices

    y, grad, low, low_grad, result, indices = program(case.x, g)
    assert y.shape == expected.shape == pool_output_shape(case.x.shape, case.window, **case.options)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(grad, oracle.max_pool_grad(case.x, g, *case.walk))
    np.testing.assert_array_equal(low, lowest)
    np.testing.assert_array_equal(low_grad, oracle.max_pool_grad(case.x, g, *case.walk, sign=-1))
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(indices, where)
    assert indices.dtype == jnp.int32


@examples(25)
@given(pools())
def test_agrees_with_loops(case: Pool) -> None:
    check_against_loops(case)


@examples(15)
@given(pools(long=True))
def test_many_taps_agree_with_loops(case: Pool) -> None:
    check_against_loops(case)


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, "VALID"), (3, 2, "SAME"), (3, 1, "SAME"), (7, 7, 3)])
def test_flax_code_reads_the_same_and_trains_the_same(window: int, stride: int, padding: Any) -> None:
    x = np.maximum(ties((2, 15, 14, 3), seed=1), 0)
    flax_padding = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    expected, expected_back = jax.vjp(
        lambda x: flax.linen.max_pool(x, (window, window), strides=(stride, stride), padding=flax_padding), x
    )
    y, back = jax.vjp(lambda x: nn.max_pool(x, (window, window), strides=(stride, stride), padding=padding), x)
    np.testing.assert_array_equal(y, expected)
    g = np.random.default_rng(2).integers(-9, 10, y.shape).astype(np.float32)
    np.testing.assert_array_equal(back(g)[0], expected_back(g)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
@pytest.mark.parametrize(("window", "strides"), [((2, 3), (1, 2)), ((11, 5), (1, 5))])
def test_integers_keep_their_type_and_padding_never_wins(dtype: Any, window: Any, strides: Any) -> None:
    info = np.iinfo(dtype)
    x = np.random.default_rng(0).choice(np.array([info.min, info.min + 1, info.max - 1, info.max], dtype), (9, 8, 2))
    walk = (window, strides, (1, 1), ((2, 3), (1, 2)), False)
    expected, where = oracle.max_pool(x, *walk)
    y, indices = F.max_pool_with_indices(x, window, strides=strides, padding=walk[3])
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, where)
    low = F.min_pool(x, window, strides=strides, padding=walk[3])
    np.testing.assert_array_equal(low, oracle.max_pool(x, *walk, sign=-1)[0])


@pytest.mark.parametrize("window", [(3,), (12,)])
def test_booleans_have_an_order(window: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((20, 4)) < 0.3
    for stride in (1, 13):
        whole, some = (f(x, window, strides=stride, padding=1) for f in (F.min_pool, F.max_pool))
        numbers = x.astype(np.int32)
        np.testing.assert_array_equal(some, F.max_pool(numbers, window, strides=stride, padding=1) == 1)
        np.testing.assert_array_equal(whole, F.min_pool(numbers, window, strides=stride, padding=1) == 1)
        assert whole.dtype == some.dtype == jnp.bool_


@pytest.mark.parametrize(("window", "stride"), [(3, 2), (12, 1), (6, 6)])
def test_minus_infinity_beats_padding(window: int, stride: int) -> None:
    """If padding with 0 or -inf won, the index would be outside of the array and the gradient would be lost."""
    x = np.full((14, 1), -np.inf, np.float32)
    _, indices = F.max_pool_with_indices(x, (window,), strides=stride, padding=2)
    starts = np.arange(indices.size) * stride - 2
    np.testing.assert_array_equal(indices[:, 0], np.maximum(starts, 0))
    _, back = jax.vjp(lambda x: F.max_pool(x, (window,), strides=stride, padding=2), x)
    assert back(jnp.ones(indices.shape))[0].sum() == indices.size


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (10, 1), (5, 6)])
def test_a_window_of_padding_gives_the_least_value_and_passes_no_gradient(window: int, stride: int) -> None:
    x = np.arange(4, dtype=np.float32)[:, None]
    y, back = jax.vjp(lambda x: F.max_pool(x, (window,), strides=stride, padding=window + 2), x)
    _, indices = F.max_pool_with_indices(x, (window,), strides=stride, padding=window + 2)
    assert y[0, 0] == -np.inf and indices[0, 0] == -1
    one_hot = jnp.zeros_like(y).at[0, 0].set(1)
    np.testing.assert_array_equal(back(one_hot)[0], 0)
    assert F.max_pool(x.astype(np.int8), (window,), strides=stride, padding=window + 2)[0, 0] == -128
    assert F.min_pool(x, (window,), strides=stride, padding=window + 2)[0, 0] == np.inf


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (12, 1), (6, 6)])
def test_nan_is_not_lost(window: int, stride: int) -> None:
    x = np.arange(18, dtype=np.float32)[:, None]
    x[7] = np.nan
    for pool in (F.max_pool, F.min_pool):
        y = pool(x, (window,), strides=stride)[:, 0]
        reads = [o * stride <= 7 < o * stride + window for o in range(y.size)]
        np.testing.assert_array_equal(np.isnan(y), reads)


def test_first_and_second_derivatives_in_both_modes() -> None:
    """For distinct entries, ``sum(max**3)`` has the Hessian ``diag(6 * times chosen * x)``."""
    x = np.random.default_rng(0).permutation(np.arange(1.0, 26)).reshape(5, 5, 1).astype(np.float32)

    def cubes(x: jax.Array) -> jax.Array:
        return (F.max_pool(x, (3, 3), strides=1, window_dilation=(1, 2)) ** 3).sum()

    _, where = oracle.max_pool(x, (3, 3), (1, 1), (1, 2), ((0, 0), (0, 0)), False)
    times = np.bincount(where.ravel(), minlength=25)
    flat = x.ravel()
    for hessian in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f)), lambda f: jax.jacrev(jax.jacfwd(f))):
        np.testing.assert_allclose(
            np.reshape(jax.jit(hessian(cubes))(x), (25, 25)), np.diag(6 * times * flat), rtol=1e-6
        )


def test_the_gradient_needs_no_scatter() -> None:
    """jax.lax uses XLA's select-and-scatter, which is not deterministic on GPUs."""
    x = jnp.ones((2, 8, 8, 3))
    ours = jax.jit(jax.grad(lambda x: F.max_pool(x, (3, 3), strides=2).sum())).lower(x).as_text()
    theirs = jax.jit(jax.grad(lambda x: flax.linen.max_pool(x, (3, 3), (2, 2)).sum())).lower(x).as_text()
    assert "scatter" in theirs and "scatter" not in ours and "gather" not in ours


def test_approximate_invariance_of_max_pooling() -> None:
    """Goodfellow et al., figure 9.8: shifting the detectors by one changes fewer than half of the maxima."""
    detectors = np.random.default_rng(0).random((2001, 1)).astype(np.float32)
    before, after = detectors[:-1], detectors[1:]
    changed = F.max_pool(before, (5,), strides=1) != F.max_pool(after, (5,), strides=1)
    assert (before != after).all()
    assert 0.2 < np.mean(changed) < 0.45  # a new maximum enters, or the old one leaves: each with probability 1 / 6


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,), (2, 0)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    x = ties((*batch, 6, 5, 2), seed=3)
    y, indices = F.max_pool_with_indices(x, (2, 2), strides=2, padding="SAME")
    assert y.shape == indices.shape == (*batch, 3, 3, 2)
    for at in np.ndindex(*batch):
        np.testing.assert_array_equal(y[at], F.max_pool(x[at], (2, 2), strides=2, padding="SAME"))


def test_same_and_same_lower_put_the_odd_entry_after_and_before() -> None:
    x = np.array([5.0, 1, 2, 3, 4], np.float32)[:, None]
    assert F.max_pool(x, (2,), strides=2, padding="SAME")[:, 0].tolist() == [5, 3, 4]
    assert F.max_pool(x, (2,), strides=2, padding="SAME_LOWER")[:, 0].tolist() == [5, 2, 4]


@pytest.mark.parametrize("pool", [F.max_pool, F.min_pool, F.max_pool_with_indices])
def test_mistakes_are_refused(pool: Any) -> None:
    x, who = jnp.ones((2, 6, 6, 3)), pool.__name__
    with pytest.raises(ShapeError, match=rf"{who}: window_shape=2 can be read as \(2,\) .* or as \(2, 2\) for images"):
        pool(x, 2, strides=2)
    with pytest.raises(TypeError, match="strides is missing"):
        pool(x, (2, 2))
    with pytest.raises(ShapeError, match=f"{who}: on spatial axis 1 the window of 7 is larger than the input of 6"):
        pool(x, (6, 7), strides=1)
    with pytest.raises(ShapeError, match=rf"{who}: strides=\(1, 1, 1\) has 3 entries but there are 2 spatial axes"):
        pool(x, (2, 2), strides=(1, 1, 1))
    with pytest.raises(ShapeError, match=f"{who}: 4 spatial axes and one of channels require at least 5 axes"):
        pool(x, (2, 2, 2, 2), strides=1)
    with pytest.raises(ValueError, match=f"{who}: padding='smae' is not known. Did you mean 'SAME'"):
        pool(x, (2, 2), strides=1, padding="smae")
    with pytest.raises(TypeError, match=f"{who}: ceil_mode must be True or False, not 'yes'"):
        pool(x, (2, 2), strides=1, ceil_mode="yes")
    with pytest.raises(TypeError, match=f"{who}: x is complex .* no order"):
        pool(x.astype(jnp.complex64), (2, 2), strides=1)
    with pytest.raises(TypeError, match=f"{who}: window_dilation must be an integer"):
        pool(x, (2, 2), strides=1, window_dilation=1.5)


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (12, 1), (6, 6)])
def test_of_several_nan_the_first_is_chosen(window: int, stride: int) -> None:
    x = np.arange(24, dtype=np.float32)[:, None]
    x[[2, 4, 5, 15, 16]] = np.nan
    _, indices = F.max_pool_with_indices(x, (window,), strides=stride)
    for start, index in zip(range(0, 24, stride), indices[:, 0].tolist(), strict=False):
        entries = x[start : start + window, 0]
        assert index == start + int(np.isnan(entries).argmax() if np.isnan(entries).any() else window - 1)
