"""A folder kept open, so that what is written to it cannot reach another one."""

import os
from pathlib import Path

from jaxcnn.train._errors import FolderLostError, RunError

# Orbax takes these characters in a path for a pattern.
_PATTERN = frozenset("[]*?")


class HeldFolder:
    """An open folder, and whether its path still leads to it.

    A path may lead elsewhere while a process runs: a disk is unmounted, a folder is renamed, deleted or replaced. A
    library that is given the path then writes below the mount point or into the new folder. Linux names an open folder
    ``/proc/self/fd/N``, which always leads to the folder itself. That name also has no special characters and is short,
    whatever the path is.

    Attributes:
        path: the folder as the user named it, for messages.
        place: the path to read and write with.

    Raises:
        RunError: ``/proc`` is not there, and the path has characters that Orbax cannot read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        self.place = Path(f"/proc/self/fd/{self._handle}")
        if not self.place.exists():
            self.place = self.path
            if _PATTERN & set(str(self.path)):
                os.close(self._handle)
                raise RunError(
                    f"{self.path}: checkpoints cannot be saved in a path with any of [ ] * ? on this system."
                )

    def check(self) -> None:
        """Raises an error where the path no longer leads to the folder.

        Raises:
            FolderLostError: it leads to another folder or to none.
        """
        check_same(self.path, os.fstat(self._handle))

    def close(self) -> None:
        """Closes the folder; ``place`` is invalid afterwards."""
        os.close(self._handle)


def check_same(path: Path, known: os.stat_result) -> None:
    """Raises an error where a path no longer leads to the folder that it led to.

    Raises:
        FolderLostError: it leads to another folder or to none.
    """
    try:
        now = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        happened = "is gone"
    else:
        if (now.st_dev, now.st_ino) == (known.st_dev, known.st_ino):
            return
        happened = "is another folder than the one that the run was started in"
    raise FolderLostError(
        f"{path} {happened}: it was moved, deleted or replaced, or its disk is no longer mounted. Nothing is written "
        f"there any more. Bring the folder back and continue the run with --resume."
    )
