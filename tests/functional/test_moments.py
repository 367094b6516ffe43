"""The sums over a batch from which mean and variance are computed on each platform."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.functional import _batch_norm, _moments
from jaxcnn.functional._batch_norm import BatchStats, batch_stats
from jaxcnn.functional._moments import _about_running_mean, _about_sample, _Axis, _sums_then_centred
from tests.tiers import default_rows


def on_a_tpu(over: _Axis, x: jax.Array, *others: Any) -> Any:
    return _about_running_mean(over, x.dtype, x, *others)


@pytest.mark.parametrize("moments", [_sums_then_centred, _about_sample, on_a_tpu])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mean", default_rows([0.0, 1.0, 1e4, 1e19], keep=[1e4, 1e19]))
def test_what_each_platform_sums_gives_mean_and_variance(moments: Any, masked: bool, mean: float) -> None:
    spread = 1.0 if mean < 1e19 else 1e17  # squares of 1e17 fit into float32; sums of squares of 1e19 do not
    x = np.float32(mean + spread * np.random.default_rng(0).standard_normal((3, 33, 4, 2)))
    mask = np.arange(3 * 33).reshape(3, 33, 1, 1) % 3 > 0 if masked else None
    counted = np.float64(x)[np.broadcast_to(True if mask is None else mask, x.shape)].reshape(-1, 2)
    starts = [0.0, mean, 1.00005 * mean, -mean, np.nan] if moments is on_a_tpu else [0.0]
    sums = jax.jit(lambda x, start: moments(_Axis(None, None), x, mask, jnp.float32(len(counted)), start))
    for start in starts:
        centre, first, second = sums(x, np.full(2, start, np.float32))
        rest = np.float64(first) / len(counted)
        np.testing.assert_allclose(np.float64(centre) + rest, counted.mean(0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(np.float64(second) / len(counted) - rest**2, counted.var(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("mean", "dtype"),
    [
        (1e4, jnp.float32),
        pytest.param(1e4, jnp.bfloat16, marks=pytest.mark.gate),
        pytest.param(0.0, jnp.float32, marks=pytest.mark.gate),
        pytest.param(0.0, jnp.bfloat16, marks=pytest.mark.gate),
    ],
)
def test_a_tpu_gives_the_results_of_a_cpu(
    mean: float, dtype: Any, key: jax.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first step, with a running mean of 0, and in a later one."""
    spread = 100.0 if dtype == jnp.bfloat16 else 1.0  # bfloat16 has steps of 64 at 1e4
    x = (mean + spread * jax.random.normal(key, (8, 20, 4, 3))).astype(dtype)
    weight = jax.random.normal(jax.random.fold_in(key, 1), x.shape)

    def step(x: jax.Array, stats: BatchStats) -> Any:
        def loss(x: jax.Array) -> Any:
            y, after = _batch_norm.batch_norm(x, stats, train=True, dtype=jnp.float32)
            return jnp.sum(weight * y), (y, after)

        return jax.grad(loss, has_aux=True)(x)

    later = BatchStats(jnp.full(3, mean, jnp.float32), jnp.full(3, spread**2, jnp.float32), jnp.float32(9))

    def steps() -> Any:
        """Both steps, compiled anew for each call."""
        return jax.jit(lambda x: [step(x, stats) for stats in (batch_stats(3), later)])(x)

    expected = steps()
    monkeypatch.setattr(
        _moments, "_sums_then_centred", lambda over, x, *others: _about_running_mean(over, dtype, x, *others)
    )
    jax.clear_caches()
    found = steps()
    exact = np.asarray(x, float).reshape(-1, 3)
    for (gradient, (y, after)), (expected_gradient, (expected_y, expected_after)) in zip(found, expected, strict=True):
        normal = (np.asarray(x, float) - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
        np.testing.assert_allclose(y, normal, atol=2e-4)
        np.testing.assert_allclose(y, expected_y, atol=2e-5)
        np.testing.assert_allclose(after.var, expected_after.var, rtol=1e-6)
        np.testing.assert_allclose(after.mean, expected_after.mean, rtol=1e-6)
        tolerance = 1e-2 if dtype == jnp.bfloat16 else 1e-4
        np.testing.assert_allclose(
            np.asarray(gradient, float),
            np.asarray(expected_gradient, float),
            rtol=tolerance,
            atol=1e-5,
        )
