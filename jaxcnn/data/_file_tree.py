"""A folder, or a zip file with the same contents, with one interface to list and read files."""

import zipfile
from pathlib import Path, PurePosixPath


class FileTree:
    """The files below a folder or in a zip file; several threads may read at the same time.

    Where all files of a zip file are in one folder, as those of a zipped folder are, paths may leave out the name of
    that folder.

    Args:
        path: a folder, or a file ``.zip``.

    Raises:
        FileNotFoundError: there is neither a folder nor a file.
        ValueError: a file that is no zip file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._archive: zipfile.ZipFile | None = None
        if self.path.is_dir():
            return
        if not self.path.exists():
            raise FileNotFoundError(f"there is no folder and no zip file {self.path}.")
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{self.path} is neither a folder nor a zip file that can be read ({error}).") from None
        files = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        files = [entry for entry in files if not entry.filename.startswith("__MACOSX/")]  # of macOS's own archiver
        self._entries = {entry.filename: entry for entry in files}
        if len({entry.filename.split("/")[0] for entry in files}) == 1 and "/" in files[0].filename:
            self._entries |= {entry.filename.partition("/")[2]: entry for entry in files}

    def name_of(self, name: str) -> str:
        """The name of a file in error messages."""
        return str(self.path / name)

    def names(self, folder: str) -> list[str]:
        """The names of the files directly in a folder, sorted; empty where there is no such folder."""
        if self._archive is None:
            place = self.path / _inside(folder)
            return sorted(each.name for each in place.iterdir() if each.is_file()) if place.is_dir() else []
        return sorted(PurePosixPath(name).name for name in self._entries if str(PurePosixPath(name).parent) == folder)

    def folders(self) -> list[str]:
        """The names of the folders directly below this one, sorted."""
        if self._archive is None:
            return sorted(each.name for each in self.path.iterdir() if each.is_dir())
        return sorted({name.split("/")[0] for name in self._entries if "/" in name})

    def has(self, name: str) -> bool:
        """Whether there is a file of this path below the folder."""
        return name in self._entries if self._archive is not None else (self.path / _inside(name)).is_file()

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the path leads out of the folder, or the zip file is damaged.
        """
        if not self.has(name):
            raise FileNotFoundError(f"there is no file {self.name_of(name)}.")
        if self._archive is None:
            return (self.path / name).read_bytes()
        try:
            return self._archive.read(self._entries[name])
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise ValueError(f"{self.name_of(name)} cannot be read ({error}). Copy the zip file again.") from None

    def fingerprint(self, name: str) -> str:
        """A text that changes with the content of a file: its size, and in a zip file also its checksum."""
        if self._archive is None:
            return str((self.path / name).stat().st_size)
        return f"{self._entries[name].file_size} {self._entries[name].CRC:08x}"


def _inside(name: str) -> str:
    """The path, if it does not lead out of the folder.

    Raises:
        ValueError: an absolute path, or one with "..".
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"the path {name!r} leads out of the folder. Expected a path below it.")
    return name
