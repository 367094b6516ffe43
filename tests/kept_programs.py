"""What whole runs compile, kept from one test to the next: most of them train the same tiny experiment."""

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
    """JAX's cache in a folder of this process, as a user has it; for a package, import it in its ``conftest.py``."""
    before = [getattr(jax.config, name) for name in NAMES]
    switch(True, str(tmp_path_factory.getbasetemp() / "compiled"), 0.2)
    yield
    switch(*before)


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """Programs that are compiled in here are not written; those that are there are found."""
    name = NAMES[-1]
    before = getattr(jax.config, name)
    jax.config.update(name, 1e9)
    yield
    jax.config.update(name, before)


def switch(*values: object) -> None:
    for name, value in zip(NAMES, values, strict=True):
        jax.config.update(name, value)
    reset_cache()  # JAX looks at its settings once
