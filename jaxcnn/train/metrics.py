"""``metrics.jsonl``: one JSON object a line, appended and flushed, readable after any kill."""

import json
import os
from pathlib import Path
from typing import Any

from jaxcnn.train.files import write_text
from jaxcnn.train.warnings_log import log

Record = dict[str, Any]


class MetricsLog:
    """The metrics of a run: ``step``, ``epoch``, ``seconds`` and names such as ``test/accuracy`` (fractions)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unwritten: list[Record] = []

    def append(self, record: Record) -> None:
        """Adds one line and waits until it is on the disk.

        Where that fails, on a full disk for instance, it warns, and the line is written with the next one.
        """
        self._unwritten.append(record)
        try:
            self._write("".join(json.dumps(line) + "\n" for line in self._unwritten))
        except OSError as error:
            count = len(self._unwritten)
            log.warning("%s: %d lines not written yet, kept for the next try: %s", self.path, count, error)
        else:
            self._unwritten = []

    def _write(self, text: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            data = memoryview(text.encode())
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)  # no half line for the next one to follow
                raise

    def read(self) -> list[Record]:
        """All whole lines; a last line cut short by a kill is left out, one that is damaged too, with a warning."""
        lines = self.path.read_text(errors="replace", encoding="utf-8").split("\n")[:-1] if self.path.exists() else []
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                record["step"] + 0  # a record without a step, or of another kind, is none
            except (ValueError, TypeError, KeyError):
                log.warning("%s: line %d is damaged and left out", self.path, number)
            else:
                records.append(record)
        return records + self._unwritten

    def keep_until(self, step: int) -> list[Record]:
        """Drops what was written after ``step``, which a resumed run is about to write again."""
        records = [record for record in self.read() if record["step"] <= step]
        if self.path.exists():
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in records))
        return records
