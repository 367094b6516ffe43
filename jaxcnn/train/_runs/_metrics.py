"""``metrics.jsonl``: one JSON object per line, synchronised with the disk for each epoch, readable after any kill."""

import json
import os
import shlex
import zlib
from pathlib import Path
from typing import Any

from jaxcnn._files import write_text
from jaxcnn.train._reports import log
from jaxcnn.train._runs._held_folder import check_same

Record = dict[str, Any]
_CHECKSUM = "crc32"
# Differs between two runs of one seed, whose lines are otherwise the same.
_NOT_CHECKED = "seconds"


class MetricsLog:
    """The metrics of a run: ``step``, ``epoch``, ``seconds`` and names such as ``test/accuracy`` (fractions).

    Each line carries the CRC-32 of its other fields. A checkpoint holds all records up to its epoch, so the file can be
    written again from a checkpoint: see ``restore``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: list[Record] | None = None  # of the run that is being trained; None: read the file
        self._folder: os.stat_result | None = None
        self._size: int | None = None  # of the file as last written; None: unknown

    def append(self, record: Record) -> None:
        """Adds one record and waits until it is on the disk.

        Where that fails, on a full disk for instance, it warns, and the line is written with the next one. A file that
        another program has changed is written again from the first line.

        Raises:
            FolderLostError: the path leads to another folder than at the first record.
        """
        self._records = [*self.read(), record]
        self._write(_line(record))

    def restore(self, records: list[Record]) -> None:
        """Makes these the records of the run, and the file; warns where the file has others for the same steps."""
        there = self.path.read_bytes() if self.path.exists() else b""
        self._records = list(records)
        text = "".join(map(_line, records)).encode()
        if not there.startswith(text):
            log.warning("%s is not what the checkpoint recorded; it is written again from the checkpoint", self.path)
        self._size = len(there) if there == text else None
        if there != text:
            self._write("")

    def _write(self, text: str) -> None:
        """Appends a text, or writes all records if the file has changed since the last write."""
        assert self._records is not None
        try:
            if self._folder is None:
                self._folder = self.path.parent.stat()
            elif self.path.parent.exists():
                check_same(self.path.parent, self._folder)
            if self._size is not None and self.path.exists() and self.path.stat().st_size == self._size:
                with open(self.path, "a", encoding="utf-8", opener=_no_links) as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                self._size += len(text)
            else:
                self._size = None
                whole = "".join(map(_line, self._records))
                write_text(self.path, whole)
                self._size = len(whole)
        except OSError as error:
            self._size = None
            log.warning("%s could not be written, which is tried again at the next epoch: %s", self.path, error)

    def read(self) -> list[Record]:
        """All whole records. A last line cut short by a kill is left out; so is a damaged one, with a warning."""
        if self._records is not None:
            return list(self._records)
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        records = []
        for number, line in enumerate(lines, start=1):
            record = _parse(line)
            if record is None:
                log.warning(
                    "%s: line %d is damaged and left out; `jaxcnn train --resume %s` restores it from the checkpoint",
                    *(self.path, number, shlex.quote(str(self.path.parent))),
                )
            else:
                records.append(record)
        return records


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _line(record: Record) -> str:
    return json.dumps(record | {_CHECKSUM: _checksum(record)}) + "\n"


def _checksum(record: Record) -> str:
    checked = {name: value for name, value in record.items() if name != _NOT_CHECKED}
    return f"{zlib.crc32(json.dumps(checked).encode()):08x}"


def _parse(line: bytes) -> Record | None:
    """The record of a line, or None where the line is damaged; a line without a checksum is not checked."""
    try:
        record = json.loads(line)
        checksum = record.pop(_CHECKSUM, None)
        whole = type(record["step"]) is int and checksum in (None, _checksum(record))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return record if whole else None
