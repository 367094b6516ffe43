"""The folders of compiled programs, and cases without one; ``test_kill.py`` starts runs that reuse programs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from jaxcnn.train import _loop
from jaxcnn.train._compile_cache import HIT_EVENT, REQUEST_EVENT, CacheHits, cache_folder, keep_compiled_programs
from tests.train.runs import Quiet, new_run, train


@pytest.fixture
def no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Starts without a folder, as a new user's process does, and restores the settings."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("jax_compilation_cache_dir", "jax_enable_compilation_cache", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("level", ["jaxcnn", "jaxcnn/compiled"])
def test_a_folder_that_others_may_write_to_is_not_used(no_folder: Path, level: str) -> None:
    folder = cache_folder() / "compiled"
    folder.mkdir(parents=True)
    (no_folder / level).chmod(0o777)
    assert keep_compiled_programs() is None
    (no_folder / level).chmod(0o755)
    assert keep_compiled_programs() == folder
    assert (no_folder / level).stat().st_mode & 0o777 == 0o700


def test_a_new_folder_is_the_users_alone(no_folder: Path) -> None:
    folder = keep_compiled_programs()
    assert folder is not None
    assert [place.stat().st_mode & 0o777 for place in (folder, folder.parent)] == [0o700, 0o700]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make a file of another user")
@pytest.mark.parametrize("level", ["jaxcnn", "jaxcnn/compiled"])
@pytest.mark.parametrize("link", [False, True], ids=["folder", "link"])
def test_a_folder_of_another_user_is_not_used(no_folder: Path, level: str, link: bool) -> None:
    place = no_folder / level
    place.parent.mkdir(exist_ok=True)
    if link:
        (no_folder / "target").mkdir()
        place.symlink_to(no_folder / "target")
    else:
        place.mkdir()
    os.chown(place, 12345, 12345, follow_symlinks=False)
    assert keep_compiled_programs() is None


PROGRAM = """
import jax, jax.numpy as jnp
from jaxcnn.train._compile_cache import CacheHits, keep_compiled_programs
keep_compiled_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
with CacheHits() as hits:
    value = jax.jit(lambda x: FACTOR * jnp.sum(jnp.sin(x) * x))(jnp.arange(8.0))  # two programs
print(hits.count, int(hits.last), value)
"""


@pytest.mark.gate
def test_a_cut_entry_is_written_again(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_ENABLE_COMPILATION_CACHE", None)

    def run(factor: float = 1.0) -> tuple[int, str, str]:
        program = PROGRAM.replace("FACTOR", str(factor))
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        hits, last, value = done.stdout.split()
        assert bool(int(last)) == (factor == 1.0 and int(hits) > 0)
        return int(hits), value, done.stderr

    assert run()[0] == 0
    hits, value, _ = run()
    assert hits > 0
    entries = list((tmp_path / "jaxcnn" / "compiled").glob("*-cache"))
    whole = {entry: entry.read_bytes() for entry in entries}
    for entry in entries:
        entry.write_bytes(whole[entry][: len(whole[entry]) // 2])
    again, same, stderr = run()
    assert (again, same) == (0, value)
    assert "Error reading" not in stderr
    assert all(entry.stat().st_size > len(whole[entry]) // 2 for entry in entries)
    assert run()[:2] == (hits, value)
    assert 0 < run(factor=2.0)[0] < hits  # the program of the argument is found, that of the function is not


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
        jax.monitoring.record_event("/jax/compilation_cache/compile_requests_use_cache")
    jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
    assert hits.count == 1 and not hits.last


@pytest.mark.parametrize("events", [(HIT_EVENT, REQUEST_EVENT), (REQUEST_EVENT, HIT_EVENT)], ids=["constant", "step"])
def test_a_run_says_that_its_step_was_cached_only_if_it_was(
    events: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A constant that was cached does not count."""
    found: list[bool] = []
    compile_step = _loop.compile_step

    def compiled(*arguments: Any) -> Any:
        step = compile_step(*arguments)
        for event in events:
            jax.monitoring.record_event(event)
        return step

    monkeypatch.setattr(_loop, "compile_step", compiled)
    monkeypatch.setattr(Quiet, "compiled", lambda self, seconds, *, from_cache: found.append(from_cache))
    file, run = new_run(tmp_path / "run")
    train(run, file.build(file.config_class(epochs=1)), stop_after=1)
    assert found == [events[1] == HIT_EVENT]
