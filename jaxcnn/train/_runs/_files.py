"""Writing files and folders that survive a kill and a power cut.

A file that is written here has either its old or its new content, never part of one. When a function returns, what it
wrote is on the disk: the content of the file, and the entry of its name in the folder.
"""

import contextlib
import errno
import json
import os
import re
from pathlib import Path
from typing import Any

# What file systems answer that cannot synchronize a folder.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk.

    The pages of a file are dropped from the operating system's cache, so that the next reader reads the disk.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        if hasattr(os, "posix_fadvise") and path.is_file():
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC or path.is_file():
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Waits until everything below a folder is on the disk: each file, then the folder that lists it."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(place, name))
        sync(Path(place))


def make_folder(folder: Path) -> None:
    """Makes a folder and the folders above it that do not exist; leaves one that exists."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def new_folder(wish: Path) -> Path:
    """Makes a folder that nobody else has: the one wished for, or the first free one of ``wish-2``, ``wish-3``, ..."""
    make_folder(wish.parent)
    folder, number = wish, 1
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            sync(folder.parent)
            return folder
        number += 1
        folder = wish.with_name(f"{wish.name}-{number}")


def write_text(path: Path, text: str) -> None:
    """Replaces the content of a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Replaces the content of a file by the JSON of a value, indented; a list of numbers is one line."""
    text = json.dumps(value, indent=2)
    text = re.sub(
        r"\[\n[-+.,\w\s]*\]", lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
    write_text(path, text + "\n")
