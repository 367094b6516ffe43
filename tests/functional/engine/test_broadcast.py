"""Multiply-adds over taps and channels, against loops."""

import jax.numpy as jnp
import numpy as np
from hypothesis import assume, given

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _broadcast
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.engine.dense import check, check_inside_shard_map, dense_geometries, plan_of


@examples(25)
@given(geometry=dense_geometries())
def test_values_agree_with_loops(geometry: ConvGeometry) -> None:
    assume(_broadcast.ALGORITHM.why_not(plan_of(geometry), "forward") is None)
    check(_broadcast.ALGORITHM, geometry, "forward")


def test_inside_shard_map() -> None:
    check_inside_shard_map(_broadcast.ALGORITHM, conv_geometry((2, 6, 5, 2), (3, 3, 2, 3)), "forward")


def test_half_precision_is_summed_in_float32() -> None:
    """256 + 1 rounds to 256 in bfloat16: a sum in bfloat16 would lose 48 ones."""
    geometry = conv_geometry((1, 7, 7, 1), (7, 7, 1, 1), padding="VALID")
    x = jnp.ones((1, 7, 7, 1), jnp.bfloat16).at[0, 0, 0].set(256)
    y = compiled(_broadcast.forward)(x, jnp.ones((7, 7, 1, 1), jnp.bfloat16), plan_of(geometry))
    np.testing.assert_array_equal(y.astype(jnp.float32), np.full((1, 1, 1, 1), 304))


def test_long_sums_and_groups_are_refused() -> None:
    long = conv_geometry((1, 9, 9, 64), (3, 3, 64, 2))
    assert "it requires at most" in str(_broadcast.ALGORITHM.why_not(plan_of(long), "forward"))
    groups = conv_geometry((1, 9, 2), (3, 1, 2), feature_group_count=2)
    assert _broadcast.ALGORITHM.why_not(plan_of(groups), "forward") == "it requires one group, and there are 2"
