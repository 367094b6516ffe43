"""The statistics of batch norm are a frozen dataclass and a pytree, under every transform."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.functional import _batch_norm
from jaxcnn.functional._batch_norm import BatchStats, batch_stats
from tests.compiled import compiled

batch_norm = compiled(_batch_norm.batch_norm)


def test_statistics_are_a_frozen_dataclass_whose_fields_are_leaves_by_name() -> None:
    """The field names are stored in checkpoints, and the order of the leaves in exported programs."""
    stats = BatchStats(jnp.arange(2.0), jnp.ones(2), jnp.float32(3))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(stats)]
    assert paths == [".mean", ".var", ".count"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.count = jnp.float32(4)  # type: ignore[misc]
    changed = dataclasses.replace(stats, count=jnp.float32(4))
    assert (changed.count, stats.count) == (4, 3) and changed.mean is stats.mean
    assert repr(pickle.loads(pickle.dumps(stats))) == repr(stats)


def test_statistics_under_vmap_scan_and_export(key: jax.Array) -> None:
    x = jax.random.normal(key, (3, 5, 2))
    alone = [batch_norm(each, batch_stats(2), train=True)[1] for each in x]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[batch_stats(2)] * 3)
    mapped = jax.vmap(
        lambda x, stats: batch_norm(x, stats, train=True)[1], in_axes=(0, BatchStats(0, 0, 0)), out_axes=0
    )(x, stacked)
    for index, each in enumerate(alone):
        for got, want in zip(*map(jax.tree.leaves, (mapped, each)), strict=True):
            np.testing.assert_allclose(got[index], want, rtol=1e-6, atol=1e-7)

    def step(x: jax.Array, stats: BatchStats) -> tuple[jax.Array, BatchStats]:
        return batch_norm(x, stats, train=True)

    exported = jax.export.export(jax.jit(step))(x[0], batch_stats(2))
    y, after = jax.export.deserialize(exported.serialize()).call(x[0], batch_stats(2))
    assert isinstance(after, BatchStats) and y.shape == (5, 2)
    np.testing.assert_allclose(after.var, alone[0].var, rtol=1e-6)


def test_statistics_for_inference_are_differentiable(key: jax.Array) -> None:
    x = jax.random.normal(key, (5, 2))
    stats = BatchStats(jnp.array([0.5, 1.0]), jnp.array([4.0, 9.0]), jnp.array(1.0))
    gradient = jax.grad(lambda stats: batch_norm(x, stats, train=False, epsilon=0.0)[0].sum())(stats)
    np.testing.assert_allclose(gradient.mean, -5 / np.sqrt([4.0, 9.0]), rtol=1e-5)
    np.testing.assert_allclose(gradient.var, -0.5 * (x.sum(0) - 5 * stats.mean) * stats.var**-1.5, rtol=1e-4)
