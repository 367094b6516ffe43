"""Batch norm of a batch that is split over devices: the statistics are those of the whole batch."""

from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxcnn.functional._batch_norm import batch_norm, batch_stats

X = np.random.default_rng(1).standard_normal((8, 3, 2)).astype(np.float32) * 3 + 10
MASK = np.array([1, 1, 0, 1, 0, 0, 0, 1], bool)  # unequal counts: the pairs have 2, 1, 0 and 1 entries


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_devices_that_share_a_batch(mask: np.ndarray | None) -> None:
    """With ``axis_name``, ``m`` and the moments are those of the whole batch, however unequal the parts."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    counts = np.ones(8, bool) if mask is None else mask

    def local(x: jax.Array, counts: jax.Array) -> Any:
        return batch_norm(
            x, batch_stats(2), train=True, momentum=None, axis_name="data", mask=None if mask is None else counts
        )

    expected = jax.jit(lambda x: batch_norm(x, batch_stats(2), train=True, momentum=None, mask=mask))(X)
    sharded = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=P("data"), out_specs=(P("data"), P())))(X, counts)
    mapped = jax.jit(jax.vmap(local, axis_name="data", out_axes=(0, None)))(X.reshape(4, 2, 3, 2), counts.reshape(4, 2))
    pmapped = jax.pmap(local, axis_name="data", out_axes=(0, None), devices=jax.devices()[:4])(
        X.reshape(4, 2, 3, 2), counts.reshape(4, 2)
    )
    for y, stats in (sharded, mapped, pmapped):
        np.testing.assert_allclose(np.reshape(y, X.shape), expected[0], rtol=1e-5, atol=1e-6)
        for got, want in zip(jax.tree.leaves(stats), jax.tree.leaves(expected[1]), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_variance_across_devices_is_not_the_mean_of_their_variances() -> None:
    """The parts have different means, whose spread is part of the variance.

    A large mean loses no accuracy here either.
    """
    shares = 1e4 + np.arange(4, dtype=np.float32)[:, None, None] * 10 + X.reshape(4, -1, 2)[:, :4]
    _, stats = jax.jit(
        jax.vmap(
            lambda x: batch_norm(x, batch_stats(2), train=True, momentum=0.0, axis_name="data"),
            axis_name="data",
            out_axes=(0, None),
        )
    )(shares)
    np.testing.assert_allclose(stats.var, shares.reshape(-1, 2).astype(float).var(0, ddof=1), rtol=1e-5)


def test_groups_of_devices_are_batches_of_their_own() -> None:
    y, stats = jax.pmap(
        lambda x: batch_norm(x, batch_stats(2), train=True, axis_name="data", axis_index_groups=[[0, 1], [2, 3]]),
        axis_name="data",
        devices=jax.devices()[:4],
    )(X.reshape(4, 2, 3, 2))
    of_half = jax.jit(lambda x: batch_norm(x, batch_stats(2), train=True))
    for half in (0, 1):
        expected_y, expected = of_half(X[4 * half : 4 * half + 4])
        np.testing.assert_allclose(np.reshape(y, X.shape)[4 * half : 4 * half + 4], expected_y, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(stats.var[2 * half], expected.var, rtol=1e-5)


def test_under_jit_over_a_mesh_the_batch_is_whole() -> None:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    expected = jax.jit(lambda x: batch_norm(x, batch_stats(2), train=True, mask=MASK))(X)
    with jax.set_mesh(mesh):
        place = jax.sharding.NamedSharding(mesh, P("data"))
        x, mask = jax.device_put(X, place), jax.device_put(MASK, place)
        y, stats = jax.jit(lambda x, mask: batch_norm(x, batch_stats(2), train=True, mask=mask))(x, mask)
    assert y.sharding.spec[0] == "data"
    np.testing.assert_allclose(y, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stats.var, expected[1].var, rtol=1e-5)
