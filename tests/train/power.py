"""The contents of a folder after a power cut, for a modelled file system that writes nothing before fsync."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Identity = tuple[int, int]


def identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


class Disk:
    """Records which parts of a folder are on the disk.

    The content of a file is on the disk as of its last ``fsync``, and the names in a folder as of the ``fsync`` of that
    folder. ``after_each`` is called after each ``fsync`` and after each change of a name: between two calls, a power
    cut leaves one of the two states of ``cut``, or a mixture of both.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.after_each = root, lambda: None
        self._content: dict[Identity, bytes] = {}
        self._names: dict[Identity, dict[str, tuple[Identity, bool]]] = {}
        self._lock = threading.RLock()
        self._busy = False
        patch.setattr(os, "fsync", self._watched(os.fsync, self._remember))
        for name in ("rename", "replace", "unlink", "rmdir"):
            patch.setattr(os, name, self._watched(getattr(os, name), lambda *_: None))

    def _watched(self, call: Callable[..., object], note: Callable[..., None]) -> Callable[..., object]:
        def watched(*arguments: object, **options: object) -> object:
            with self._lock:
                result = call(*arguments, **options)
                if not self._busy:  # file operations of `after_each` itself are not recorded
                    self._busy = True
                    try:
                        note(*arguments)
                        self.after_each()
                    finally:
                        self._busy = False
                return result

        return watched

    def _remember(self, handle: int) -> None:
        known = identity(os.fstat(handle))
        path = Path(f"/proc/self/fd/{handle}")
        if path.is_file():
            self._content[known] = path.read_bytes()
        else:
            with os.scandir(handle) as entries:
                self._names[known] = {
                    entry.name: (identity(entry.stat(follow_symlinks=False)), entry.is_dir()) for entry in entries
                }

    def cut(self, *, names_too: bool) -> dict[str, bytes]:
        """All files after a power cut at this moment, by their paths below the root.

        Files have the content of their last ``fsync``, and are empty without one. Without ``names_too`` a folder has
        the names of its last ``fsync``: new names are lost, and deleted names are back. With it all names are current.
        """
        files: dict[str, bytes] = {}

        def walk(place: Identity, path: str, entries: Iterator[tuple[str, Identity, bool]]) -> None:
            for name, known, is_folder in entries:
                if is_folder:
                    walk(known, f"{path}{name}/", self._entries(known, f"{path}{name}/", now=names_too))
                else:
                    files[f"{path}{name}"] = self._content.get(known, b"")

        root = identity(self.root.stat())
        walk(root, "", self._entries(root, "", now=names_too))
        return files

    def _entries(self, known: Identity, path: str, *, now: bool) -> Iterator[tuple[str, Identity, bool]]:
        if not now:
            yield from ((name, *entry) for name, entry in self._names.get(known, {}).items())
            return
        try:
            with os.scandir(self.root / path) as entries:
                for entry in entries:
                    yield entry.name, identity(entry.stat(follow_symlinks=False)), entry.is_dir()
        except FileNotFoundError:  # another thread has removed it
            return


def write_out(files: dict[str, bytes], folder: Path) -> Path:
    """Writes the files of a cut to another folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
