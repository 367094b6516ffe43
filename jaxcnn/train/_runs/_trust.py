"""Which experiments the user has run: only their code is run from a run folder without asking.

A run folder holds code, ``experiment.py``, and may come from somebody else. Code is trusted by its text: if the user
has trained an experiment of exactly this text here, to run it again is nothing new, wherever the folder is now. So a
register of the user, outside of any run folder, holds the SHA-256 of each such text, and the folder whose modules the
experiment may import. Neither is ever read from a run. ``docs/decisions/0007-trust.md`` gives the reasons.
"""

import hashlib
import json
import os
import stat
from pathlib import Path

from jaxcnn._files import write_json
from jaxcnn.train._reports import log
from jaxcnn.train._runs._discover import list_packaged


def register_folder() -> Path:
    """The folder of the register: ``$XDG_STATE_HOME/jaxcnn/experiments``, or below ``~/.local/state``."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "jaxcnn" / "experiments"


def remember(source: str, folder: Path) -> None:
    """Records that the user runs an experiment of this text, which may import the modules of ``folder``.

    Where the register cannot be written, it warns: the run can still be trained, and resumed with ``--trust``.
    """
    try:
        entry = _entry(source)
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(entry.parent):
            raise PermissionError(f"{entry.parent} can be written by others")
        write_json(entry, {"folder": str(folder.resolve())})
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        log.warning("this experiment is not recorded as yours (%s): to resume the run, --trust is needed", error)


def trusted_folder(source: str) -> Path | None:
    """The folder whose modules an experiment of this text may import; None where the user has not run such a text.

    Experiments that the package carries are trusted as the package is.
    """
    for path in list_packaged():
        if path.read_text(encoding="utf-8") == source:
            return path.parent
    try:
        entry = _entry(source)
        if not _is_private(entry.parent):
            return None
        return Path(json.loads(entry.read_text(encoding="utf-8"))["folder"])
    except (OSError, RuntimeError, ValueError, LookupError, TypeError):
        return None


def _entry(source: str) -> Path:
    return register_folder() / f"{hashlib.sha256(source.encode()).hexdigest()}.json"


def _is_private(folder: Path) -> bool:
    """Whether nobody but the user can write to the folder."""
    status = folder.stat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
