"""Event files for TensorBoard, written without TensorFlow."""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcnn._extras import import_optional
from jaxcnn.train._runs import make_folder
from jaxcnn.train._watch._callback import Callback, RunInfo, Status

FOLDER = "tensorboard"
_NOT_CURVES = ("step", "epoch", "seconds")


class TensorBoard(Callback):
    """Writes all figures of steps and epochs as event files, for ``tensorboard --logdir runs``.

    The command is ``jaxcnn train EXPERIMENT --tensorboard``. The package ``tensorboard`` writes the records; TensorFlow
    is not imported, even where it is installed.

    Each start of a run writes one file. A file of a resumed run begins with an event that makes TensorBoard drop the
    later steps of earlier files, so that no step is shown twice. Each event is passed to the operating system at
    once, so that none is lost when the process is killed; readers ignore an event that a kill cuts short. If a resumed
    run has no event files yet, its earlier epochs are written first.

    Args:
        folder: of the event files; by default ``tensorboard`` in the folder of the run.
        every: the number of steps from one figure of a step to the next.

    Raises:
        ModuleNotFoundError: the package ``tensorboard`` is not installed.

    >>> TensorBoard(every=10).every
    10
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, every: int = 100) -> None:
        self._records = import_optional("tensorboard.summary.writer.record_writer")
        self._event = import_optional("tensorboard.compat.proto.event_pb2")
        self._folder, self.every = folder, every
        self._writer: Any = None

    def start(self, run: RunInfo) -> None:
        """Opens a file that supersedes what earlier files have after ``run.step``."""
        self._place = run.path / FOLDER if self._folder is None else Path(self._folder)
        make_folder(self._place)
        first = not _event_files(self._place)
        self._open()
        log = self._event.SessionLog(status=self._event.SessionLog.START)
        self._write(self._event.Event(wall_time=time.time(), step=run.step + 1, session_log=log))
        if first and run.history:
            began = time.time() - run.history[-1]["seconds"]
            for record in run.history:
                self._add(record, began + record["seconds"])

    def step(self, record: Mapping[str, Any]) -> None:
        """Writes the figures of a batch."""
        self._add(record, time.time())

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Writes the figures of an epoch."""
        self._add(record, time.time())

    def end(self, status: Status, step: int) -> None:
        """Closes the file."""
        self._close()

    def _add(self, record: Mapping[str, Any], wall_time: float) -> None:
        event = self._event.Event(wall_time=wall_time, step=record["step"])
        for name, value in record.items():
            if name not in _NOT_CURVES:
                event.summary.value.add(tag=name, simple_value=value)
        self._write(event)

    def _write(self, event: Any) -> None:
        """Appends an event; after an error, as on a full disk, the next event goes into a new file."""
        if self._writer is None:
            self._open()
        try:
            self._writer.write(event.SerializeToString())
            self._writer.flush()
        except OSError:
            self._close()
            raise

    def _open(self) -> None:
        """Opens a file whose name sorts after those of all others, since TensorBoard reads them in this order."""
        names = _event_files(self._place)
        latest = max((int(name.split(".")[3]) for name in names), default=0)
        stamp = max(int(time.time()), latest)  # clocks are set back now and then
        path = self._place / f"events.out.tfevents.{stamp:010d}.{len(names):04d}"
        self._writer = self._records.RecordWriter(path.open("xb"))
        self._write(self._event.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def _close(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
            self._writer = None


def _event_files(folder: Path) -> list[str]:
    """The names of the event files of a folder."""
    return sorted(path.name for path in folder.glob("events.out.tfevents.*.*"))
