"""The content of a folder of images: its splits, their classes, the files of each class, and the files left out.

The rules, for every folder at every level:

- A split or a class is a sub-folder. The names of splits are ``train`` and ``training``; ``test`` and ``testing``;
  ``val``, ``valid`` and ``validation``; in upper or lower case. Without a ``test``, the validation split is the test
  split.
- Files of tools are skipped: hidden files and folders, ``__MACOSX``, ``@eaDir`` and others.
- A link is followed where it leads to something new. Each folder and each file is read once, at its own place if that
  is inside the folder. Another link to it is skipped, and so is a link to a folder that contains this one.
"""

import dataclasses
import itertools
import os
import stat
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from jaxcnn._error_context import error_context

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLITS |= dict.fromkeys(("val", "valid", "validation"), "validation")
_VIDEO_FILES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v")
_TOOL_PREFIXES = (".", "__", "~$")
_TOOL_NAMES = {"@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler"}
_TOOL_NAMES |= {"system volume information", "lost+found", "_gsdata_", "cvs", "thumbs.db", "desktop.ini"}
LEFT_BY_A_TOOL, OTHER_FILE = "left by a tool", "not named as an image"
ABOVE, READ_ALREADY = "a link to a folder that contains this one", "a link to what is read already"

# A split and a class, and the device and inode number of a file.
Key = tuple[str, str]
Identity = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderContents:
    """The result of ``scan_folder``.

    Attributes:
        root: the folder.
        splits: the files of each class, under ``train``, ``validation`` where there is one, and ``test``; or under
            ``all``, where the folder has no splits.
        folders: the folder of each split.
        skipped: the reason for each file and folder that is left out.
    """

    root: Path
    splits: dict[str, dict[str, list[Path]]]
    folders: dict[str, Path]
    skipped: dict[Path, str]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of all classes, sorted."""
        return tuple(sorted({name for files in self.splits.values() for name in files}))


@error_context("folder")
def scan_folder(path: str | Path) -> FolderContents:
    """Finds the images of a folder, without opening them.

    Args:
        path: the folder, with one sub-folder for each class, or with ``train`` and ``test`` above these.

    Raises:
        FileNotFoundError: there is no such folder.
        TypeError: neither a text nor a path.
        ValueError: no classes, a class without images, two folders for one split, classes that hold the same
            sub-folders, an image under two classes, a link to a file that does not exist, a folder that cannot be read.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("ant/1.png", "ant/notes.txt", "bee/1.png", "bee/2.png"):
    ...     (root / name).parent.mkdir(exist_ok=True)
    ...     (root / name).touch()
    >>> found = scan_folder(root)
    >>> {name: len(files) for name, files in found.splits["all"].items()}
    {'ant': 1, 'bee': 2}
    >>> [(path.name, reason) for path, reason in found.skipped.items()]
    [('notes.txt', 'not named as an image')]
    """
    if not str(path):
        raise ValueError("which folder? Write folder:/path, with one sub-folder of images for each class.")
    return _scanned(path, videos=False)


def scan_videos(path: str | Path) -> FolderContents:
    """Finds the frames of a folder of videos; two classes may have videos of the same names.

    A link to a frame of the same video is a frame as well.

    Raises:
        FileNotFoundError: there is no such folder.
        TypeError: neither a text nor a path.
        ValueError: as of ``scan_folder``, and an image that is not in the folder of a video.
    """
    if not str(path):
        raise ValueError(f"the path is empty. {_EXPECTED[True]}")
    found = _scanned(path, videos=True)
    for split, classes in found.splits.items():
        for name, images in classes.items():
            above = found.folders[split] / name
            for image in images:
                if image.parent == above:
                    raise ValueError(f"{image} is in the folder of a class. {_EXPECTED[True]}")
                if image.parent.parent != above:
                    raise ValueError(f"{image} is in a folder within that of a video. {_EXPECTED[True]}")
    return found


def _scanned(path: str | Path, *, videos: bool) -> FolderContents:
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be the path of a folder, not {path!r}.")
    root = Path(path).expanduser()
    if not root.is_dir():
        kind = "is not a folder" if root.exists() else "does not exist"
        raise FileNotFoundError(f"{root} {kind}. {_EXPECTED[videos]}")
    scan = _Scan(root, videos=videos)
    folders = scan.splits()
    classes = {(split, each.name): each for split, folder in folders.items() for each in scan.classes(folder)}
    files = scan.files(classes)
    for key, folder in classes.items():
        if not files[key]:
            raise ValueError(f"the class {folder} has no images {scan.why_empty(folder)}. Fill it or remove it.")
    splits = {split: {name: files[part, name] for part, name in classes if part == split} for split in folders}
    for split in folders.keys() - {"train", "all"}:
        if strange := sorted(splits[split].keys() - splits["train"].keys()):
            raise ValueError(f"{folders[split]} has the class {strange[0]!r}, which {folders['train']} has not.")
    return FolderContents(root=root, splits=splits, folders=folders, skipped=scan.skipped)


_EXPECTED = {
    False: "A folder of images has one sub-folder for each class.",
    True: "A folder of videos has one sub-folder for each class, and in it one folder of frames for each video.",
}


class _Scan:
    """One pass over a folder; collects what is skipped."""

    def __init__(self, root: Path, *, videos: bool) -> None:
        self.root = root
        self.videos = videos
        self.skipped: dict[Path, str] = {}
        self._above = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
        self._owners: dict[Identity, tuple[Key, Path, bool]] = {}

    def splits(self) -> dict[str, Path]:
        """The folders of the splits; the folder itself as ``all``, where it has none."""
        found: dict[str, list[Path]] = {}
        others = []
        for folder in self._folders(self.root):
            split = SPLITS.get(folder.name.casefold())
            found.setdefault(split, []).append(folder) if split else others.append(folder)
        if "test" not in found and "validation" in found:
            found["test"] = found.pop("validation")
        elif "validation" in found:
            # One without classes has images without labels, as ImageNet's archive, and is no split.
            others += [folder for folder in found["validation"] if not self._folders(folder)]
            found["validation"] = [folder for folder in found["validation"] if folder not in others]
        if "train" not in found or "test" not in found or not self._folders(found["train"][0]):
            return {"all": self.root}
        for folders in found.values():
            if len(folders) > 1:
                raise ValueError(
                    f"{folders[0]} and {folders[1]} are names of the same split. Keep one, or move their "
                    f"images together."
                )
        for folder in others:
            self._skip(folder, "not among the splits that are read")
        self._note_loose(self.root)
        return {split: found[split][0] for split in ("train", "validation", "test") if found.get(split)}

    def classes(self, folder: Path) -> list[Path]:
        """The folders of the classes of a split."""
        found = self._folders(folder)
        loose = self._note_loose(folder)
        if not found:
            held = f"has {loose} images but no sub-folder" if loose else "has no sub-folder"
            raise ValueError(f"{folder} {held}. {_EXPECTED[self.videos]}")
        if self.videos:
            return found
        inside = {each: {inner.name.casefold() for inner in self._folders(each)} for each in found}
        for (one, in_one), (other, in_other) in itertools.combinations(inside.items(), 2):
            if len(same := sorted(in_one & in_other)) > 1:  # one alone may be "images"
                raise ValueError(
                    f"{one} and {other} hold the same sub-folders ({', '.join(same[:3])}). If these are the "
                    f"classes, name the folders above them train and test, or read one of them: folder:{one}. If "
                    f"{one.name!r} and {other.name!r} are classes, move the images out of the sub-folders; if the "
                    f"sub-folders are videos, read them by data.video_folder, or by data.stream with frames."
                )
        return found

    def files(self, classes: dict[Key, Path]) -> dict[Key, list[Path]]:
        """The image files of each class, sorted; first the files inside the folder, then those that links lead to."""
        found: dict[Key, list[Path]] = {key: [] for key in classes}
        links: deque[tuple[Key, Path]] = deque()
        for key, folder in classes.items():
            if folder.is_symlink() or (folder.parent != self.root and folder.parent.is_symlink()):
                links.append((key, folder))
            else:
                self._walk(key, folder, found[key], links, linked=False)
        while links:
            key, path = links.popleft()
            self._follow(key, path, found[key], links)
        return {key: sorted(files) for key, files in found.items()}

    def why_empty(self, folder: Path) -> str:
        """Why a class has no images: it is skipped, or has no file with the name of an image."""
        if reason := self.skipped.get(folder):
            return f"of its own: it is {reason}"
        videos = [path for path in self.skipped if folder in path.parents and path.suffix.lower() in _VIDEO_FILES]
        hint = f"; {videos[0].name} is a video file, whose frames have to be extracted" if videos else ""
        return f"({', '.join(SUFFIXES)}){hint}"

    def _walk(self, key: Key, folder: Path, found: list[Path], links: deque[tuple[Key, Path]], *, linked: bool) -> None:
        self._owners[_identity(folder)] = (key, folder, linked)
        device = folder.stat().st_dev
        for entry in _entries(folder):
            path = Path(entry.path)
            if left_by_a_tool(entry.name):
                self._skip(path, LEFT_BY_A_TOOL)
            elif entry.is_symlink():
                links.append((key, path))
            elif entry.is_dir():
                if not self._owned(key, path, _identity(path)):
                    self._walk(key, path, found, links, linked=linked)
            elif self._is_image(path, regular=entry.is_file()):
                here = (device, entry.inode())
                if not (linked and self._owned(key, path, here)):
                    self._owners[here] = (key, path, linked)
                    found.append(path)

    def _follow(self, key: Key, path: Path, found: list[Path], links: deque[tuple[Key, Path]]) -> None:
        try:
            target = path.stat()
        except OSError:
            if path.suffix.lower() in SUFFIXES:
                raise ValueError(
                    f"{path} is a link to {path.readlink()}, which does not exist. Remove the link, or "
                    f"make its target available."
                ) from None
            self._skip(path, "a link to nothing")
            return
        there = (target.st_dev, target.st_ino)
        if stat.S_ISDIR(target.st_mode):
            if there in self._above:
                self._skip(path, ABOVE)
            elif not self._owned(key, path, there):
                self._walk(key, path, found, links, linked=True)
        elif self._is_image(path, regular=stat.S_ISREG(target.st_mode)):
            owner = self._owners.get(there)
            if self.videos and owner is not None:
                if owner[1].parent != path.parent:
                    raise ValueError(
                        f"{path} is a link to a frame of another video, {owner[1]}. Copy the frame, or remove the link."
                    )
                found.append(path)  # a frame that is shown twice
            elif not self._owned(key, path, there):
                self._owners[there] = (key, path, True)
                found.append(path)

    def _owned(self, key: Key, path: Path, identity: Identity) -> bool:
        """Whether a file or folder is read already; then it is recorded as skipped."""
        if identity not in self._owners:
            return False
        owner, first, linked = self._owners[identity]
        if linked and owner != key:
            raise ValueError(
                f"links to the same place are under two classes or splits, {first} and {path}. An image has "
                f"one class and is in one split: remove one of the links."
            )
        self._skip(path, READ_ALREADY)
        return True

    def _is_image(self, path: Path, *, regular: bool) -> bool:
        if path.suffix.lower() not in SUFFIXES:
            self._skip(path, OTHER_FILE)
        elif not regular:
            self._skip(path, "a pipe, a socket or a device")
        else:
            return True
        return False

    def _folders(self, folder: Path) -> list[Path]:
        """The sub-folders that may be splits or classes."""
        found = []
        for entry in _entries(folder):
            path = Path(entry.path)
            if not path.is_dir():  # the entry's own is_dir raises for a link to itself
                continue
            if left_by_a_tool(entry.name):
                self._skip(path, LEFT_BY_A_TOOL)
            elif entry.is_symlink() and _identity(path) in self._above:
                self._skip(path, ABOVE)
            else:
                found.append(path)
        return found

    def _note_loose(self, folder: Path) -> int:
        """Records the files that are in no class as skipped; returns the number of images among them."""
        images = 0
        for entry in _entries(folder):
            path, image = Path(entry.path), entry.name.lower().endswith(SUFFIXES)
            if left_by_a_tool(entry.name):
                self._skip(path, LEFT_BY_A_TOOL)
            elif not path.is_dir():
                self._skip(path, "an image in no class" if image else OTHER_FILE)
                images += image
        return images

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.setdefault(path, reason)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror or error}.") from None


def left_by_a_tool(name: str) -> bool:
    """Whether a file or folder of this name was written by a tool, and belongs to no data set."""
    return name.startswith(_TOOL_PREFIXES) or name.casefold() in _TOOL_NAMES


def _identity(path: Path) -> Identity:
    status = path.stat()
    return status.st_dev, status.st_ino
