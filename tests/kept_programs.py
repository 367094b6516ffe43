"""Compiled programs of whole runs are reused between tests, most of which train the same tiny experiment."""

import contextlib
from collections.abc import Iterator

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

NAMES = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(scope="module", autouse=True)
def keep_compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sets JAX's compilation cache to a folder of this process. A package imports this in its ``conftest.py``."""
    before = [getattr(jax.config, name) for name in NAMES]
    switch(True, str(tmp_path_factory.getbasetemp() / "compiled"), 0.2)
    yield
    switch(*before)


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """Within this context, compiled programs are not written to the cache, but cached programs are used."""
    name = NAMES[-1]
    before = getattr(jax.config, name)
    jax.config.update(name, 1e9)
    yield
    jax.config.update(name, before)


def switch(*values: object) -> None:
    for name, value in zip(NAMES, values, strict=True):
        jax.config.update(name, value)
    reset_cache()  # JAX reads its settings only once
