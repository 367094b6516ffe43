"""One screen of strictness for the whole suite."""

import os
from collections.abc import Iterator

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # here and in processes that tests start; read on import of jax

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Mixed dtypes are refused; packages that run Optax, which mixes them, override this fixture."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(20261121)
