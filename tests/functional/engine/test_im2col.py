"""Kernel gradients with windows as rows of a matrix, against loops."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _im2col
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.engine.dense import check, check_inside_shard_map, dense_geometries, plan_of, random_operands
from tests.functional.engine.groups import grouped_geometries, loop_grouped_kernel_grad


@examples(40)
@given(
    geometry=dense_geometries(),
    block_bytes=st.sampled_from([1, 500, 2000, 2**22]),
    fewest=st.sampled_from([1, _im2col.FEWEST_IN_PIECES]),
    avx512=st.booleans(),
)
def test_kernel_gradients_agree_with_loops(geometry: ConvGeometry, block_bytes: int, fewest: int, avx512: bool) -> None:
    """Blocks of one row, several rows, one image, several or all images; rows are gathered, in parts or whole."""
    with mock.patch.multiple(_im2col, BLOCK_BYTES=block_bytes, FEWEST_IN_PIECES=fewest, AVX512=avx512):
        check(_im2col.ALGORITHM, geometry, "kernel_grad")


@pytest.mark.parametrize("avx512", [False, True], ids=["gathered", "in parts"])
@pytest.mark.parametrize("block_bytes", [1, 1000])
def test_rows_of_dilated_windows(block_bytes: int, avx512: bool) -> None:
    geometry = conv_geometry((3, 7, 6, 2), (3, 2, 2, 3), strides=(2, 1), kernel_dilation=(2, 3), padding=(1, 2))
    with mock.patch.multiple(_im2col, BLOCK_BYTES=block_bytes, FEWEST_IN_PIECES=1, AVX512=avx512):
        assert _im2col.blocks_for(geometry, 4).count > 1
        check(_im2col.ALGORITHM, geometry, "kernel_grad")


def test_rows_are_gathered_unless_there_is_avx512() -> None:
    """Its instructions for gathers take twice as long as the concatenation of rows."""
    geometry = conv_geometry((64, 16, 16, 32), (3, 3, 32, 32), padding="SAME")
    for avx512 in (False, True):
        with mock.patch.object(_im2col, "AVX512", avx512):
            x, g = jnp.zeros(geometry.x_shape), jnp.zeros(geometry.out_shape)
            text = str(jax.make_jaxpr(lambda x, g: _im2col.kernel_grad(x, g, plan_of(geometry)))(x, g))
        assert ("gather" in text) != avx512


@pytest.mark.parametrize("avx512", [False, True])
@pytest.mark.parametrize(("block_bytes", "fewest"), [(1, 1), (1, 16), (2**22, 16)])
def test_the_loop_passes_the_checks_of_shard_map(block_bytes: int, fewest: int, avx512: bool) -> None:
    geometry = conv_geometry((4, 6, 5, 2), (3, 3, 2, 3), strides=(2, 1))
    with mock.patch.multiple(_im2col, BLOCK_BYTES=block_bytes, FEWEST_IN_PIECES=fewest, AVX512=avx512):
        check_inside_shard_map(_im2col.ALGORITHM, geometry, "kernel_grad")


def test_blocks_are_bounded() -> None:
    """Images with 7 MB of windows are split into rows, and small images are grouped."""
    large = _im2col.blocks_for(conv_geometry((8, 224, 224, 3), (7, 7, 3, 64), strides=2), 4)
    assert (large.images, large.rows, large.count) == (1, 56, 16)
    small = _im2col.blocks_for(conv_geometry((64, 4, 4, 512), (3, 3, 512, 512)), 4)
    assert (small.images, small.rows, small.count) == (8, 4, 8)


def test_half_precision_is_summed_in_float32() -> None:
    """256 + 1 rounds to 256 in bfloat16: a sum in bfloat16 would lose 48 ones."""
    geometry = conv_geometry((49, 1, 1), (1, 1, 1))
    x = jnp.ones((49, 1, 1), jnp.bfloat16).at[0].set(256)
    with mock.patch.object(_im2col, "BLOCK_BYTES", 1):
        dk = compiled(_im2col.kernel_grad)(x, jnp.ones((49, 1, 1), jnp.bfloat16), plan_of(geometry))
    assert dk.dtype == jnp.bfloat16
    np.testing.assert_array_equal(dk.astype(jnp.float32), np.full((1, 1, 1), 304))


@examples(25)
@given(geometry=grouped_geometries())
def test_groups_agree_with_loops(geometry: ConvGeometry) -> None:
    x, _, g = random_operands(geometry)
    dk = compiled(_im2col.kernel_grad)(x, g, plan_of(geometry))
    np.testing.assert_allclose(dk, loop_grouped_kernel_grad(x, g, geometry), atol=1e-4)


def test_empty_arrays_are_refused() -> None:
    assert (
        _im2col.ALGORITHM.why_not(plan_of(conv_geometry((1, 8, 2), (3, 2, 4))), "forward")
        == "it computes no forward pass"
    )
    why_not = _im2col.ALGORITHM.why_not(plan_of(conv_geometry((0, 8, 2), (3, 2, 4))), "kernel_grad")
    assert why_not == "it requires arrays that are not empty, and these are (0, 8, 2) and (0, 8, 4)"
