"""Atomic writing: after a kill, a power cut or with a full disk, a file has its old or its new content, never a part.

When a function returns, the content of the file and its name in the folder are on the disk.
"""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

# Errors of file systems that cannot synchronize a folder.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def sync(path: Path) -> None:
    """Waits until the content of a file, or the list of names in a folder, is on the disk.

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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary binary file next to ``path``, which replaces it at the end, after it was synchronized with the disk.

    Raises:
        OSError: it cannot be written, such as in a folder that does not exist; the message names ``path``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x"
    >>> with replacing(path) as file:
    ...     _ = file.write(b"new")
    >>> path.read_bytes()
    b'new'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _open_temporary(temporary, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _open_temporary(temporary: Path, path: Path) -> BinaryIO:
    """The temporary file, open for writing.

    Raises:
        OSError: it cannot be made.
    """
    try:
        temporary.unlink(missing_ok=True)
        return temporary.open("xb")  # x: "wb" would follow a link of this name
    except OSError as error:
        known = type(error)(f"{path} cannot be written: {error.strerror}")
        known.errno = error.errno
        raise known from error


def write_text(path: Path, text: str) -> None:
    """Replaces the content of a file by a text in UTF-8."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replaces the content of a file by the JSON of a value, indented; a list of numbers is one line."""
    text = json.dumps(value, indent=2)
    text = re.sub(
        r"\[\n[-+.,\w\s]*\]", lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
    write_text(path, text + "\n")


def cache_folder() -> Path:
    """The folder of files that can be computed again: ``$XDG_CACHE_HOME/jaxcnn``, or ``~/.cache/jaxcnn``."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "jaxcnn"
