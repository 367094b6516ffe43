"""Compiled programs kept from one start to the next, in a folder that only the user can write to."""

import os
import stat
from pathlib import Path

import jax

HIT_EVENT = "/jax/compilation_cache/cache_hits"


class CacheHits:
    """Counts the programs that JAX found in its cache instead of compiling them, inside of a ``with`` block."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "CacheHits":
        jax.monitoring.register_event_listener(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_listener(self._hear)

    def _hear(self, event: str, **_: object) -> None:
        self.count += event == HIT_EVENT


def keep_compiled_programs() -> Path | None:
    """Turns JAX's persistent compilation cache on, unless the user has set a folder or turned it off.

    Entries are programs that will be run, so a folder in which others may write is not used. The environment's
    ``JAX_COMPILATION_CACHE_DIR`` names another folder; ``JAX_ENABLE_COMPILATION_CACHE=false`` does without.

    Returns:
        the folder, or None where there is none to be had.
    """
    config = jax.config
    if config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return Path(config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    if not config.jax_enable_compilation_cache:  # type: ignore[attr-defined]
        return None
    folder = cache_folder() / "compiled"
    if not _make_private(folder):
        return None
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return folder


def cache_folder() -> Path:
    """Where this library keeps what can be made again: ``$XDG_CACHE_HOME/jaxcnn``, or ``~/.cache/jaxcnn``."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "jaxcnn"


def _make_private(folder: Path) -> bool:
    """Makes the folder for the user alone; False where that cannot be, as in a home that is read-only or shared."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):
        return False
    foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
    return not foreign and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.access(folder, os.W_OK)
