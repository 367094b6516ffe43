"""A second start of the same run finds its programs compiled, says so, and comes to the same end."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxcnn.train.compile_cache import CacheHits, cache_folder, keep_compiled_programs
from tests.cli.conftest import TINY
from tests.cli.test_kill import fingerprint


def train(folder: Path, cache: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if "COMPILATION_CACHE" not in name}
    words = [sys.executable, "-m", "jaxcnn", "train", str(TINY), "--set", "epochs=2", "--run-dir", str(folder)]
    done = subprocess.run(
        words, env={**environment, "XDG_CACHE_HOME": str(cache)}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_second_start_loads_what_the_first_compiled(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert "compiled the training step in" in train(tmp_path / "first", cache)
    folder = cache / "jaxcnn" / "compiled"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert any(folder.iterdir())
    out = train(tmp_path / "second", cache)
    assert "loaded the training step in" in out
    assert "compiled by an earlier start" in out
    assert fingerprint(tmp_path / "second") == fingerprint(tmp_path / "first")


@pytest.fixture
def no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """As a new user's process begins; what is set is taken back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", True)
    yield tmp_path
    jax.config.update("jax_enable_compilation_cache", before)
    jax.config.update("jax_compilation_cache_dir", None)


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
    (no_folder / "jaxcnn").write_text("a file where the folder would be")
    assert keep_compiled_programs() is None


def test_hits_are_counted_inside_of_the_block_alone() -> None:
    with CacheHits() as hits:
        jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
        jax.monitoring.record_event("/jax/compilation_cache/cache_misses")
    jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
    assert hits.count == 1
