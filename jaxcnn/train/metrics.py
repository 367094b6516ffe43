"""``metrics.jsonl``: one JSON object a line, appended and flushed, readable after any kill."""

import json
import os
from pathlib import Path
from typing import Any

from jaxcnn.train.files import write_text

Record = dict[str, Any]


class MetricsLog:
    """The metrics of a run: ``step``, ``epoch``, ``seconds`` and names such as ``test/accuracy`` (fractions)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Record) -> None:
        """Adds one line and waits until it is on the disk."""
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Record]:
        """All whole lines; a last line cut short by a kill is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def keep_until(self, step: int) -> list[Record]:
        """Drops what was written after ``step``, which a resumed run is about to write again."""
        records = [record for record in self.read() if record["step"] <= step]
        if self.path.exists():
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in records))
        return records
