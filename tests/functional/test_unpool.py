"""max_unpool against writing entries one after the other."""

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
from tests.functional.pools import ties
from tests.oracles import pool as oracle
from tests.tiers import default_rows

F = compiled_functions(functional)


@examples(20)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_agrees_with_loops(pooled: list[int], output: list[int], seed: int) -> None:
    """Random indices: some repeated, some outside."""
    output = (output * 3)[: len(pooled)]
    generator = np.random.default_rng(seed)
    y = generator.standard_normal((*pooled, 2)).astype(np.float32)
    indices = generator.integers(-2, np.prod(output) + 2, y.shape, dtype=np.int32)
    g = generator.standard_normal((*output, 2)).astype(np.float32)

    @jax.jit
    def both_ways(y: jax.Array, indices: jax.Array, g: jax.Array) -> tuple:
        x, back = jax.vjp(lambda y: F.max_unpool(y, indices, output), y)
        return x, *back(g)

    x, back = jax.device_get(both_ways(y, indices, g))
    np.testing.assert_array_equal(x, oracle.max_unpool(y, indices, output))
    other = generator.standard_normal(y.shape).astype(np.float32)
    expected = (oracle.max_unpool(other, indices, output) * g).sum()
    np.testing.assert_allclose((back * other).sum(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [((2, 2), 2), ((3, 3), 2)])
def test_pooling_again_gives_the_maxima_back(window: tuple[int, int], stride: int) -> None:
    x = np.abs(ties((3, 9, 8, 2), seed=0)) + np.random.default_rng(0).random((3, 9, 8, 2)).astype(np.float32)
    x = np.where(np.isinf(x), 1, x).astype(np.float32)
    y, indices = F.max_pool_with_indices(x, window, strides=stride)
    again = F.max_unpool(y, indices, x.shape[1:-1])
    np.testing.assert_array_equal(F.max_pool(again, window, strides=stride), y)
    assert ((again == x) | (again == 0)).all()


def test_a_larger_output_counts_in_its_own_rows() -> None:
    y, indices = np.array([[[5.0]]], np.float32), np.array([[[6]]], np.int32)
    for output, at in (((4, 4), (1, 2)), ((3, 5), (1, 1))):
        x = F.max_unpool(y, indices, output)
        assert x.shape == (*output, 1) and x[at][0] == 5 and x.sum() == 5


def test_windows_of_padding_put_nothing_anywhere() -> None:
    x = np.arange(1.0, 5)[:, None].astype(np.float32)
    y, indices = F.max_pool_with_indices(x, (2,), strides=2, padding=4)
    assert indices[:, 0].tolist() == [-1, -1, 1, 3, -1, -1]
    assert F.max_unpool(y, indices, (4,))[:, 0].tolist() == [0, 2, 0, 4]


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.bfloat16, jnp.bool_])
@pytest.mark.parametrize("index_dtype", default_rows([jnp.int32, jnp.uint8, jnp.int8], keep=[jnp.int8]))
def test_dtypes(dtype: Any, index_dtype: Any) -> None:
    y = np.array([[1], [1], [0]]).astype(dtype)
    x = F.max_unpool(y, np.array([[4], [0], [2]], index_dtype), (5,))
    assert x.dtype == dtype and x[:, 0].tolist() == [1, 0, 0, 0, 1]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    x = ties((*batch, 6, 4, 2), seed=5)
    y, indices = F.max_pool_with_indices(x, (2, 2), strides=2)
    again = F.max_unpool(y, indices, (6, 4))
    assert again.shape == x.shape
    for at in np.ndindex(*batch):
        np.testing.assert_array_equal(again[at], oracle.max_unpool(np.array(y[at]), np.array(indices[at]), (6, 4)))


def test_mistakes_are_refused() -> None:
    y, indices = jnp.ones((2, 3, 3, 4)), jnp.zeros((2, 3, 3, 4), jnp.int32)
    with pytest.raises(
        ShapeError, match=r"max_unpool: y and indices must have the same shape, but y.shape=\(2, 3, 3, 4\)"
    ):
        F.max_unpool(y, indices[:1], (6, 6))
    with pytest.raises(ShapeError, match=r"max_unpool: output_shape=\(2, 6, 6, 4\) has 4 axes, .* no batch axes"):
        F.max_unpool(y, indices, (2, 6, 6, 4))
    with pytest.raises(ShapeError, match=r"max_unpool: output_shape=6 can be read as \(6,\)"):
        F.max_unpool(y, indices, 6)
    with pytest.raises(TypeError, match="max_unpool: indices are integers, not float32"):
        F.max_unpool(y, y, (6, 6))
