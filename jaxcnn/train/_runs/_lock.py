"""The lock of a run folder: one process at a time writes there."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from jaxcnn.train._errors import RunError
from jaxcnn.train._reports import log


@contextlib.contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Holds the lock of a folder. The operating system frees it when the process ends, however it ends.

    The folder itself is locked: a file in it could be deleted and made again, and then be locked twice. File systems
    that lock files only, as NFS, lock ``.lock``, which also names the process.

    Raises:
        RunError: another process holds the lock.
        OSError: the folder cannot be opened or written.
    """
    with contextlib.ExitStack() as stack:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, folder)
        file = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        stack.callback(os.close, file)
        if not (_lock(folder, file, path) or _lock(file, file, path)):
            log.warning(
                "the file system of %s has no locks: make sure that no other process trains into this folder", path
            )
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield


def _lock(handle: int, file: int, path: Path) -> bool:
    """Locks an open file or folder; False where the file system cannot.

    Raises:
        RunError: another process has locked it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 32).decode(errors="replace") or "unknown"
        raise RunError(
            f"another process (pid {holder}) is training into {path}. "
            f"Wait for it, or name another folder with --run-dir DIR."
        ) from None
    except OSError:
        return False
    return True
