"""The data files that a run was trained with, so that an error on resuming can name the files that have changed."""

import contextlib
import json
from collections.abc import Iterator, Mapping

from jaxcnn._files import write_json
from jaxcnn.train._checkpoints import KINDS, saved
from jaxcnn.train._errors import OtherDataError, RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports import log
from jaxcnn.train._runs import RunFolder

FILE = "data.json"
NAMED = 3  # files of each kind that a message names


def record_files(run: RunFolder, experiment: Experiment) -> None:
    """Writes ``data.json`` if the examples are files; after the first checkpoint, only if the file is missing.

    The caller has checked that the data are those of the checkpoints.
    """
    file, files = run.path / FILE, dict(experiment.data.files)
    if not files or (file.exists() and saved(run.checkpoints, KINDS)):
        return
    try:
        write_json(file, {"dataset": experiment.data.name, "files": files})
    except OSError as error:
        log.warning("%s could not be written: %s", file, error)


@contextlib.contextmanager
def naming_changed_files(run: RunFolder, experiment: Experiment) -> Iterator[None]:
    """Adds the names of the changed files to the error about other data.

    Raises:
        RunError: the run is resumed with other data.
    """
    try:
        yield
    except OtherDataError as error:
        try:
            recorded = json.loads((run.path / FILE).read_text(encoding="utf-8"))["files"]
            found = changed_files(recorded, experiment.data.files)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise error from None
        raise RunError(f"{error}\n{found}") from error


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """A sentence about the files that were added, removed or changed.

    >>> changed_files({"a.png": "10", "b.png": "20", "c.png": "30"}, {"a.png": "10", "b.png": "21", "d.png": "40"})
    'Since then 1 file was added (d.png), 1 file was removed (c.png), 1 file was changed (b.png).'
    """
    kinds = {
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
        "changed": [name for name, mark in now.items() if before.get(name, mark) != mark],
    }
    found = [
        f"{len(names)} file{'s were' if len(names) > 1 else ' was'} {what} ({', '.join(names[:NAMED])}"
        f"{', ...' if len(names) > NAMED else ''})"
        for what, names in kinds.items()
        if names
    ]
    if not found:
        return "The files are the same; what the experiment makes of them differs."
    return f"Since then {', '.join(found)}."
