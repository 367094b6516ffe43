"""Compiled programs kept from one start to the next, in a folder that only the user can write to."""

import glob
import os
import re
import stat
import warnings
from pathlib import Path
from typing import Any

import jax

from jaxcnn._files import cache_folder

REQUEST_EVENT = "/jax/compilation_cache/compile_requests_use_cache"
HIT_EVENT = "/jax/compilation_cache/cache_hits"
_UNREADABLE = re.compile("Error reading persistent compilation cache entry for '(.+?)'")


class CacheHits:
    """The programs that JAX found in its cache instead of compiling them, inside of a ``with`` block.

    Attributes:
        count: their number.
        last: whether the last program that was to be compiled is one of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last = False

    def __enter__(self) -> "CacheHits":
        jax.monitoring.register_event_listener(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_listener(self._note)

    def _note(self, event: str, **_: object) -> None:
        self.count += event == HIT_EVENT
        if event in (REQUEST_EVENT, HIT_EVENT):
            self.last = event == HIT_EVENT


def keep_compiled_programs() -> Path | None:
    """Turns JAX's persistent compilation cache on, unless the user has set a folder or turned it off.

    An entry is a program that will be run. So the folder and its parent must belong to the user, must not be
    links of another user, and must not be writable by others; the folder has the permissions 0700. An entry that cannot
    be read, such as one that a killed process wrote half of, is removed, and JAX writes it again. The environment's
    ``JAX_COMPILATION_CACHE_DIR`` names another folder; ``JAX_ENABLE_COMPILATION_CACHE=false`` turns the cache off.

    Returns:
        the folder, or None if there is no such folder.
    """
    config = jax.config
    if config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return Path(config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    if not config.jax_enable_compilation_cache:  # type: ignore[attr-defined]
        return None
    folder = cache_folder() / "compiled"
    if not (_is_private(folder.parent) and _is_private(folder)):
        return None
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    _remove_unreadable_entries(folder)
    return folder


def _is_private(folder: Path) -> bool:
    """Whether the folder is the user's alone, after it has been made and its permissions set to 0700.

    False where it belongs to another user, is a link that another user made, is writable by others, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owners = {folder.stat().st_uid, folder.lstat().st_uid}
        open_to_others = folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if (hasattr(os, "getuid") and owners != {os.getuid()}) or open_to_others:
            return False
        folder.chmod(0o700)
    except (OSError, RuntimeError):
        return False
    return os.access(folder, os.W_OK)


def _remove_unreadable_entries(folder: Path) -> None:
    """Removes an entry when JAX warns that it cannot be read.

    JAX compiles the program instead, but it never writes over an entry: each start would compile and warn again.
    """
    show = warnings.showwarning

    def showwarning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        found = _UNREADABLE.match(str(message))
        if found is None:
            show(message, *args, **kwargs)
            return
        for entry in folder.glob(f"{glob.escape(found[1])}-*"):
            entry.unlink(missing_ok=True)

    warnings.showwarning = showwarning
