"""Folders that survive a power cut: when a function returns, the names of what it made are on the disk."""

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
