"""Pools of every number type of ``ml_dtypes`` that XLA supports, against the same pools in float64."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxcnn import functional as F
from tests.tiers import default_rows

# JAX has no arrays of float6 types, and XLA's executables do not support buffers of 1-bit integers.
NAMES = [
    name
    for name in sorted(vars(ml_dtypes))
    if name.startswith(("float4", "float8", "bfloat", "int", "uint")) and name not in ("int1", "uint1")
]
EXTREMA: dict[str, Callable[[Any], Any]] = {
    "max": lambda x: F.max_pool(x, (3,), strides=2, padding=1),
    "min": lambda x: F.min_pool(x, (3,), strides=2, padding=1),
    "long max": lambda x: F.max_pool(x, (12,), strides=1, padding=11),
    "rows of max": lambda x: F.max_pool(x, (12,), strides=12, padding=2),
    "indices": lambda x: F.max_pool_with_indices(x, (3,), strides=2, padding=1)[1],
    "adaptive max": lambda x: F.adaptive_max_pool(x, (5,)),
    "global max": lambda x: F.global_max_pool(x, spatial_ndim=1),
    "maxout": lambda x: F.feature_pool(x, 2),
    "pyramid": lambda x: F.spatial_pyramid_pool(x, (1, 3), spatial_ndim=1),
    "unpool": lambda x: F.max_unpool(*F.max_pool_with_indices(x, (2,), strides=2), (12,)),
}
AVERAGES: dict[str, Callable[[Any], Any]] = {
    "average": lambda x: F.avg_pool(x, (3,), strides=2, padding=1),
    "adaptive average": lambda x: F.adaptive_avg_pool(x, (5,)),
    "global average": lambda x: F.global_avg_pool(x, spatial_ndim=1),
    "average of features": lambda x: F.feature_pool(x, 2, kind="avg"),
    "norm": lambda x: F.lp_pool(x, (3,), strides=2, padding=1),
    "norm of features": lambda x: F.feature_pool(x, 2, kind="l2"),
}


KEPT = [name for name in NAMES if name in ("float8_e4m3fn", "float8_e8m0fnu", "int4")]


@pytest.mark.parametrize("name", default_rows(NAMES, keep=KEPT))
def test_small_types(name: str) -> None:
    """Extrema are exact. Averages and norms are rounded once, to the type; for integer types they are floats."""
    dtype = np.dtype(getattr(ml_dtypes, name))
    floating = jnp.issubdtype(dtype, jnp.floating)
    limits: Any = jnp.finfo(dtype) if floating else jnp.iinfo(dtype)
    least = 0.25 if name == "float8_e8m0fnu" else max(float(limits.min), -5)  # this type has positive numbers only
    values = np.linspace(least, min(float(limits.max), 5), 24)
    x = np.random.default_rng(0).permutation(values).astype(dtype).reshape(12, 2)
    exact = np.asarray(x, np.float32)
    pools = {key: pool for key, pool in (EXTREMA | AVERAGES).items() if (key, name) != ("unpool", "float8_e8m0fnu")}
    small = jax.jit(lambda x: {key: pool(x) for key, pool in pools.items()})(x)
    wide = jax.jit(lambda x: {key: pool(x) for key, pool in pools.items()})(exact)
    for key in EXTREMA.keys() & pools:  # unpooling fills with 0, which float8_e8m0fnu cannot represent
        assert small[key].dtype == (np.int32 if key == "indices" else dtype), key
        np.testing.assert_array_equal(np.asarray(small[key], np.float32), wide[key], err_msg=key)
    for key in AVERAGES:
        assert small[key].dtype == (dtype if floating else np.float32), key
        rounded = np.asarray(np.asarray(wide[key]).astype(small[key].dtype), np.float32)
        np.testing.assert_allclose(np.asarray(small[key], np.float32), rounded, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize(
    "name",
    default_rows([name for name in NAMES if "e8m0" not in name], keep=[name for name in KEPT if "e8m0" not in name]),
)
def test_a_window_of_padding_holds_the_least_value(name: str) -> None:
    """float8_e8m0fnu is left out: its least value is subnormal in float32, which XLA flushes to 0."""
    dtype = np.dtype(getattr(ml_dtypes, name))
    x = np.ones((3, 1), dtype)
    least, greatest = jax.jit(lambda x: [f(x, (2,), strides=2, padding=((4, 0),)) for f in (F.max_pool, F.min_pool)])(x)
    if not jnp.issubdtype(dtype, jnp.floating):
        expected = [jnp.iinfo(dtype).min, jnp.iinfo(dtype).max]
    elif np.isinf(np.asarray(np.inf).astype(dtype)):
        expected = [-np.inf, np.inf]
    else:
        expected = [float(jnp.finfo(dtype).min), float(jnp.finfo(dtype).max)]
    least, greatest = np.asarray(least), np.asarray(greatest)
    assert [float(least[0, 0]), float(greatest[0, 0])] == expected
    assert float(least[2, 0]) == float(greatest[2, 0]) == 1


@pytest.mark.parametrize(
    "name",
    default_rows(
        [name for name in NAMES if "float" in name and "e8m0" not in name], keep=["bfloat16", "float8_e4m3fn"]
    ),
)
def test_gradients_of_small_floats(name: str) -> None:
    """e8m0fnu is left out: it has no zero, which most entries of a gradient are."""
    x = np.arange(-2, 2).astype(getattr(ml_dtypes, name)).reshape(4, 1)
    pools = [lambda x: F.max_pool(x, (2,), strides=2), lambda x: F.avg_pool(x, (2,), strides=2)]
    for pool, expected in zip(pools, ([0, 1, 0, 1], [0.5] * 4), strict=True):
        grad = jax.jit(jax.grad(lambda x, pool=pool: pool(x).astype(jnp.float32).sum()))(x)
        assert grad.dtype == x.dtype
        np.testing.assert_array_equal(np.asarray(grad, np.float32)[:, 0], expected)
