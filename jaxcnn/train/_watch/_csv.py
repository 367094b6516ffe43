"""The records of the epochs as a table of comma-separated values."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcnn._files import write_text
from jaxcnn.train._watch._callback import Callback, RunInfo


class CSV(Callback):
    """Writes one row for each epoch, with the columns of ``metrics.jsonl``, for spreadsheets and data frames.

    A measure that appears later, such as those of the test split after the last epoch, adds a column, which is empty
    in earlier rows. When a run is resumed the file is written again from the records of the run.

    Args:
        path: of the file; by default ``metrics.csv`` in the folder of the run.

    >>> CSV("runs/table.csv").path
    'runs/table.csv'
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path

    def start(self, run: RunInfo) -> None:
        """Writes the rows of the epochs that are done."""
        self._file = run.path / "metrics.csv" if self.path is None else Path(self.path)
        self._records = list(run.history)
        self._whole = False
        if self._records:
            self._write_all()

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Appends a row, or writes the file again where there are new columns or the last row was not written."""
        self._records.append(record)
        if not self._whole or not set(record) <= set(self._columns):
            self._write_all()
            return
        self._whole = False
        with self._file.open("a", encoding="utf-8", newline="") as file:
            file.write(_table(self._columns, [record]))
        self._whole = True

    def _write_all(self) -> None:
        self._whole = False
        self._columns = list(dict.fromkeys(name for record in self._records for name in record))
        write_text(
            self._file, _table(self._columns, [dict(zip(self._columns, self._columns, strict=True)), *self._records])
        )
        self._whole = True


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue()
