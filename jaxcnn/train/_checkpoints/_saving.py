"""Saving checkpoints through Orbax: the last two states, the best state, and others; each is read back and checked.

A state is written to a temporary folder and read back from the disk. Only then is the folder renamed to its step, and
only after that is an older checkpoint deleted. The result of each step is on the disk before the next step begins.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxcnn._files import sync, write_text
from jaxcnn.train._checkpoints._checksums import Record, checksums, seal
from jaxcnn.train._checkpoints._keys import without_keys
from jaxcnn.train._checkpoints._reading import FORMAT, KEPT, KINDS, RECORD, STATE, read_arrays, read_record, saved
from jaxcnn.train._distributed import is_first, together, wait_for_all
from jaxcnn.train._errors import FolderLostError, RunError
from jaxcnn.train._reports import log
from jaxcnn.train._runs import HeldFolder, make_folder, sync_tree
from jaxcnn.train._state import TrainState

# Two checkpoints of the kind ``last``, so that one remains if the other is damaged; all epochs that a user selects.
KEEP = {"last": 2, "best": 1, "calm": 1, KEPT: math.inf}
# The number of failed saves in a row after which a run stops; until then a user may free space on a full disk.
FAILURES_IN_ROW = 3
# A folder whose name begins with a dot is being written or deleted, and is not a checkpoint.
WRITING, DELETING = ".writing", ".deleting"
FAILURES = (OSError, ValueError, RuntimeError, MemoryError)


@dataclasses.dataclass(frozen=True)
class _Save:
    """A save that has begun: its step, the folder that is written, and the future of the work in the background."""

    step: int
    place: Path
    work: Future[None]


class Checkpoints:
    """Saves in the background, reads back what was saved, and only then deletes older checkpoints.

    Use as ``with open_checkpoints(...)``, which finishes the saves that have begun.

    Args:
        folder: of the run's checkpoints; made where it does not exist.
        provenance: what the run is trained with; part of the record of every checkpoint.
        kinds: those that will be saved.
        metrics: the records of the run so far; part of the record of every checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        provenance: Record | None = None,
        kinds: Sequence[str] = KINDS,
        metrics: Callable[[], list[Record]] = list,
    ) -> None:
        # Orbax logs each failure twice with all tracebacks; here a failure becomes a warning of one sentence, or an
        # error.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self.folder, self.provenance, self.metrics = folder, provenance or {}, metrics
        if is_first():
            for kind in kinds:
                make_folder(folder / kind)
        wait_for_all("the folders of the checkpoints are made")
        self._held = HeldFolder(folder)
        self._steps = {kind: sorted(one.step for one in saved(folder, [kind])) for kind in kinds}
        self._savers = {kind: _saver() for kind in kinds}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._saves = itertools.count()  # the same in all processes, which write to one folder
        self._pending: dict[str, _Save] = {}
        self._failures = dict.fromkeys(kinds, 0)
        self._unsaved: dict[str, str] = {}
        self._last_began = -math.inf
        self._remove_temporary()

    @property
    def seconds_since_last(self) -> float:
        """The seconds since the newest save of the kind ``"last"`` began; infinite without one, or if it failed."""
        return time.perf_counter() - self._last_began

    def save(self, kind: str, state: TrainState) -> None:
        """Starts to save a state under its step; does nothing where that step is saved already.

        Waits for the previous save of this kind. A failed save is logged then, or by ``check``.

        Raises:
            RunError: several saves failed in a row, or the folder's path no longer leads to it.
        """
        self.settle(kind)
        step = int(state.step)
        if kind == "last":
            self._last_began = time.perf_counter()
        if step in self._steps[kind]:
            return
        state = without_keys(state)
        self._held.check()
        place = self._held.place / kind / f"{WRITING}-{step}-{next(self._saves)}"
        own = {"format": FORMAT, "kind": kind, "step": step, "metrics": self.metrics(), "arrays": checksums(state)}
        try:
            with together("make a folder for a checkpoint"):
                if is_first():
                    place.mkdir()
            self._savers[kind].save(place / STATE, args=ocp.args.StandardSave(state))
        except FAILURES as error:
            self._failed(kind, step, error)
            return
        template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), state)
        work = self._thread.submit(self._finish, kind, step, place, self.provenance | own, template)
        self._pending[kind] = _Save(step, place, work)
        if jax.process_count() > 1:  # processes wait for each other in there, which steps meanwhile would confuse
            self.settle(kind)

    def steps(self, kind: str) -> set[int]:
        """The steps of a kind that are saved, or being saved."""
        return {*self._steps[kind], *(save.step for other, save in self._pending.items() if other == kind)}

    def check(self) -> None:
        """Handles the saves that have ended; cheap enough to be called before every step.

        With several processes, failures are handled only in ``save``, where the processes wait for each other.

        Raises:
            RunError: several saves failed in a row, or the folder's path no longer leads to it.
        """
        if jax.process_count() == 1:
            for kind in [kind for kind, save in self._pending.items() if save.work.done()]:
                self.settle(kind)

    def settle(self, kind: str) -> None:
        """Waits for the save that has begun, and deletes the oldest checkpoint if it succeeded.

        Raises:
            RunError: several saves failed in a row, or the folder's path no longer leads to it.
        """
        if kind not in self._pending:
            return
        save = self._pending.pop(kind)
        try:
            save.work.result()
        except FolderLostError:
            raise
        except FAILURES as error:
            self._failed(kind, save.step, error)
            return
        self._failures[kind] = 0
        self._unsaved.pop(kind, None)
        self._steps[kind].append(save.step)
        while len(self._steps[kind]) > KEEP[kind]:
            self._delete(kind, self._steps[kind].pop(0))

    def close(self) -> None:
        """Waits until everything is on the disk.

        Raises:
            RunError: the last state could not be saved; that the best one could not was logged before.
        """
        try:
            for kind in self._savers:
                self.settle(kind)
            if "last" in self._unsaved:
                raise RunError(self._unsaved["last"])
        finally:
            self._thread.shutdown()
            for saver in self._savers.values():
                with contextlib.suppress(*FAILURES):  # reported already
                    saver.close()
            self._remove_temporary()
            if not self._unsaved:  # threads of a save that failed may still write
                self._held.close()

    def _finish(self, kind: str, step: int, place: Path, record: Record, template: Any) -> None:
        """In the background: waits until the state is on the disk, reads it back, and renames its folder to its step.

        Raises:
            DamageError: the content of the disk differs from the state.
            FolderLostError: the folder's path no longer leads to it.
            OSError: it could not be written.
        """
        with together("write its part of a checkpoint"):
            self._savers[kind].wait_until_finished()
            sync_tree(place / STATE)
        with together("check and name the checkpoint"):
            if is_first():
                write_text(place / RECORD, json.dumps(seal(record)))
                read_arrays(place, read_record(place)["arrays"], template)
                self._held.check()
                place.rename(place.with_name(str(step)))
                sync(place.parent)

    def _delete(self, kind: str, step: int) -> None:
        """Renames the folder first: a folder named by a step is complete, even if the process is killed here."""
        old = self._held.place / kind / str(step)
        if is_first():
            with contextlib.suppress(OSError):  # deleted by somebody else, or the disk is read-only meanwhile
                shutil.rmtree(old.rename(old.with_name(f"{DELETING}-{step}")))

    def _remove_temporary(self) -> None:
        """Removes the folders that failed saves and killed processes have left."""
        writing = {save.place for save in self._pending.values()}
        for kind in self._savers if is_first() else ():
            for name in (WRITING, DELETING):
                for path in {*(self._held.place / kind).glob(f"{name}-*")} - writing:
                    shutil.rmtree(path, ignore_errors=True)

    def _failed(self, kind: str, step: int, error: BaseException) -> None:
        """Warns, and stops a run that cannot save any more.

        Raises:
            RunError: this is the last of several failures in a row, or there are several processes.
        """
        with contextlib.suppress(*FAILURES):
            self._savers[kind].close()
        self._savers[kind] = _saver()  # the old one would raise its error once more
        self._remove_temporary()
        if kind == "last":
            self._last_began = -math.inf
        self._failures[kind] += 1
        good = max(itertools.chain.from_iterable(self._steps.values()), default=None)
        kept = "nothing is saved yet" if good is None else f"step {good} is kept"
        reason = str(error).replace(str(self._held.place), str(self.folder))
        message = f"the {kind} checkpoint of step {step} in {self.folder / kind} could not be saved ({kept}): {reason}"
        self._unsaved[kind] = f"{message}\nIs the disk full, or the folder not writable? Mend that and resume."
        if self._failures[kind] >= FAILURES_IN_ROW or jax.process_count() > 1:
            raise RunError(self._unsaved[kind])
        log.warning("%s; training continues and tries again at the next", message)


def _saver() -> ocp.AsyncCheckpointer:
    return ocp.AsyncCheckpointer(ocp.StandardCheckpointHandler())


@contextlib.contextmanager
def open_checkpoints(
    folder: Path,
    provenance: Record | None = None,
    kinds: Sequence[str] = KINDS,
    metrics: Callable[[], list[Record]] = list,
) -> Iterator[Checkpoints]:
    """A context with ``Checkpoints``, whose arguments it takes; finishes the saves on exit, also after an error."""
    checkpoints = Checkpoints(folder, provenance, kinds, metrics)
    try:
        yield checkpoints
    except BaseException:
        with contextlib.suppress(RunError):  # the error inside is the one to report
            checkpoints.close()
        raise
    checkpoints.close()
