"""Folders that survive a power cut: when a function returns, the directory entries it made are on the disk."""

import contextlib
import os
from pathlib import Path

from jaxcnn._files import sync


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


def new_folder(path: Path) -> Path:
    """Makes a new folder: ``path``, or the first of ``path-2``, ``path-3``, ... that does not exist."""
    make_folder(path.parent)
    folder, number = path, 1
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            sync(folder.parent)
            return folder
        number += 1
        folder = path.with_name(f"{path.name}-{number}")
