"""Where compiled programs are kept, and where not; ``test_kill.py`` starts runs that find theirs."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxcnn.train._compile_cache import CacheHits, cache_folder, keep_compiled_programs


@pytest.fixture
def no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """As a new user's process begins; what is set is taken back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("jax_compilation_cache_dir", "jax_enable_compilation_cache", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_folder_that_others_may_write_to_is_not_used(no_folder: Path) -> None:
    folder = cache_folder() / "compiled"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert keep_compiled_programs() is None
    folder.chmod(0o700)
    assert keep_compiled_programs() == folder


def test_what_the_user_has_set_stays(no_folder: Path, tmp_path: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert keep_compiled_programs() == tmp_path / "own"
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    assert keep_compiled_programs() is None


def test_no_place_for_a_folder(no_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (no_folder / "jaxcnn").write_text("a file where the folder would be", encoding="utf-8")
    assert keep_compiled_programs() is None


def test_hits_are_counted_inside_of_the_block_alone() -> None:
    with CacheHits() as hits:
        jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
        jax.monitoring.record_event("/jax/compilation_cache/cache_misses")
    jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
    assert hits.count == 1
