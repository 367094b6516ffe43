"""Strict settings for the whole test suite."""

import atexit
import gc
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator

# These variables are read on import of jax, here and in processes that tests start. Nearly all of the suite's time is
# compile time, and half of that is LLVM's optimizer, which is not part of what is tested. The optimizer is therefore
# disabled, except for the references in the table of functions (``tests/functional/transforms/calls.py``).
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
# Before 0.11, XLA compiles in half the time with its older emitters, and in a tenth less without splitting its modules
# for LLVM. `.ci/run` sets XLA_FLAGS to an empty string for the tests that require the default emitters
# (``tests/README.md``).
if tuple(map(int, importlib.metadata.version("jax").split(".")[:2])) < (0, 11):
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", flags)
# The tests do not write to the user's register of experiments.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="jaxcnn_state_")

import jax
import pytest

from tests.shared_contexts import share_contexts

if jax.__version_info__ < (0, 12):
    share_contexts()
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)
# JAX keeps a million objects, which the garbage collector would traverse hundreds of times.
gc.set_threshold(500_000, 20, 20)

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_sessionfinish() -> None:
    """Collects garbage once; pytest collects five times and Python once more, which takes a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Mixed dtypes are refused; packages that run Optax, which mixes them, override this fixture."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(20261121)
