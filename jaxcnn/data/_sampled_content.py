"""Digests of files by a sample of their content, for sets that are too large to be read for it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

FILES = 256  # files of which content is read
BLOCK = 16_384  # bytes that are read at the start, in the middle and at the end of each
MOST_FINGERPRINTS = 100_000  # the files of larger sets are not recorded


def digest(lines: Iterable[str]) -> str:
    """The SHA-256 of lines of text."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return found.hexdigest()


def sampled_content(files: Sequence[Path], most: int = FILES) -> Iterator[str]:
    """SHA-256 digests of parts of at most ``most`` files, evenly spaced: of each the first, middle and last 16 KiB.

    Files up to 48 KiB are read whole. A change elsewhere is not seen.
    """
    for index in _sampled(len(files), most):
        found = hashlib.sha256()
        with files[index].open("rb") as file:
            size = file.seek(0, 2)
            for start in (0, (size - BLOCK) // 2, size - BLOCK):
                file.seek(max(start, 0))
                found.update(file.read(size if size <= 3 * BLOCK else BLOCK))
        yield found.hexdigest()


def _sampled(count: int, most: int) -> list[int]:
    return list(map(int, np.unique(np.linspace(0, count - 1, min(count, most)).round())))


def fingerprints_of(root: Path, files: Sequence[Path], contents: Sequence[str]) -> dict[str, str]:
    """A text for each file of a set, by its path below the root, which shows later changes: the size of the file.

    ``contents`` are digests from ``sampled_content``, which follow the sizes. Empty for more than 100,000 files.
    """
    if len(files) > MOST_FINGERPRINTS:
        return {}
    marks = {file.relative_to(root).as_posix(): str(file.stat().st_size) for file in files}
    for index, content in zip(_sampled(len(files), len(contents)), contents, strict=True):
        marks[files[index].relative_to(root).as_posix()] += f" {content[:16]}"
    return marks
