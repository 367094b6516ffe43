"""Saving checkpoints through Orbax: the last two states, and the best by test accuracy, each read back and checked."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxcnn.train.checkpoint import FORMAT, KINDS, RECORD, STATE, Saved, read_arrays, read_record, saved
from jaxcnn.train.checksums import Record, checksums, seal
from jaxcnn.train.distributed import is_first
from jaxcnn.train.errors import RunError
from jaxcnn.train.state import TrainState
from jaxcnn.train.warnings_log import log

# Two of the last, so that one is whole whatever happens to the other.
KEEP = {"last": 2, "best": 1, "calm": 1}
# A full disk may be emptied by somebody: a run goes on without checkpoints, but not for long.
FAILURES_IN_ROW = 3
CLEAR_TRIES = 100  # a twentieth of a second apart


class Checkpoints:
    """Saves in the background, reads back what was saved, and only then drops older ones.

    Use as ``with open_checkpoints(...)``, which finishes what is under way. ``origin`` says which images a step means,
    and is recorded with every checkpoint; ``kinds`` are those that will be saved.
    """

    def __init__(self, folder: Path, origin: Record | None = None, kinds: Sequence[str] = KINDS) -> None:
        # Orbax logs a failure with all its tracebacks, twice; here each becomes one sentence, or an error.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self.folder, self.origin = folder.resolve(), origin or {}  # Orbax wants absolute paths
        self._managers = {kind: self._open(kind) for kind in kinds}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read_back")
        self._pending: dict[str, tuple[int, Future[None]]] = {}
        self._failures = dict.fromkeys(kinds, 0)
        self._unsaved: dict[str, str] = {}

    def _open(self, kind: str) -> ocp.CheckpointManager:
        # Retention is not left to Orbax: it would drop the older before anybody has read the newer.
        options = ocp.CheckpointManagerOptions(cleanup_tmp_directories=True)
        return ocp.CheckpointManager(self.folder / kind, options=options)

    def save(self, kind: str, state: TrainState) -> None:
        """Starts to save a state under its step; a step that is there already is the same state, and is left.

        Waits for the save of this kind before. That a save failed is logged then, or by ``check``, whichever is first.

        Raises:
            RunError: several saves failed one after the other.
        """
        self.settle(kind)
        step = int(state.step)
        manager = self._managers[kind]
        if step in manager.all_steps() and (self.folder / kind / str(step)).is_dir():
            return
        try:
            if not (self.folder / kind).is_dir():  # Orbax would make it again, wherever that now is
                raise FileNotFoundError(f"the folder {self.folder / kind} is gone")
            record = {"format": FORMAT, "origin": self.origin, "arrays": checksums(state)}
            items: dict[str, Any] = {STATE: ocp.args.StandardSave(state), RECORD: ocp.args.JsonSave(seal(record))}
            manager.save(step, args=ocp.args.Composite(**items))
        except (OSError, ValueError) as error:
            self._drop_failed(kind, step)
            self._failed(kind, step, error)
            return
        template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), state)
        self._pending[kind] = step, self._thread.submit(self._confirm, kind, step, template)
        if jax.process_count() > 1:  # processes wait for each other in there, which steps meanwhile would confuse
            self.settle(kind)

    def steps(self, kind: str) -> set[int]:
        """The steps of a kind that are on the disk, or on their way there."""
        there = {one.step for one in saved(self.folder, [kind])}
        return there | {self._pending[kind][0]} if kind in self._pending else there

    def check(self) -> None:
        """Looks after saves that ended meanwhile; costs next to nothing, so every step may ask.

        Of several processes each learns of its own failures only in ``save``, where all wait for each other.

        Raises:
            RunError: several saves failed one after the other.
        """
        if jax.process_count() == 1:
            for kind in [kind for kind, (_, future) in self._pending.items() if future.done()]:
                self.settle(kind)

    def close(self) -> None:
        """Waits until everything is on the disk.

        Raises:
            RunError: the last state could not be saved; that the best one could not was said before.
        """
        try:
            for kind in self._managers:
                self.settle(kind)
            if "last" in self._unsaved:
                raise RunError(self._unsaved["last"])
        finally:
            self._thread.shutdown()
            for manager in self._managers.values():
                with contextlib.suppress(OSError, ValueError):  # said already
                    manager.close()

    def _confirm(self, kind: str, step: int, template: Any) -> None:
        """In the background: waits for the disk, and reads back what is on it."""
        self._managers[kind].wait_until_finished()
        if is_first():
            one = Saved(self.folder, kind, step)
            read_arrays(one, read_record(one)["arrays"], template)

    def settle(self, kind: str) -> None:
        """Waits for the save under way; good, it takes the place of the oldest, else it is dropped itself."""
        if kind not in self._pending:
            return
        step, future = self._pending.pop(kind)
        manager = self._managers[kind]
        try:
            future.result()
        except (OSError, ValueError, RunError) as error:
            self._drop_failed(kind, step)
            self._failed(kind, step, error)
            return
        self._failures[kind] = 0
        self._unsaved.pop(kind, None)
        for old in sorted(manager.all_steps())[: -KEEP[kind]]:
            manager.delete(old)

    def _drop_failed(self, kind: str, step: int) -> None:
        """Gives its space back and its step free, by a new manager: the old one would raise its error once more."""
        with contextlib.suppress(OSError, ValueError):
            self._managers[kind].close()
        place = self.folder / kind
        if place.is_dir():
            if is_first():
                _clear(place, step)
            with contextlib.suppress(OSError, ValueError):
                self._managers[kind] = self._open(kind)

    def _failed(self, kind: str, step: int, error: Exception) -> None:
        """Says so, and stops a run that cannot save any more."""
        self._failures[kind] += 1
        good = max((one.step for one in saved(self.folder, KEEP)), default=None)
        kept = "nothing is saved yet" if good is None else f"step {good} is kept"
        message = f"the {kind} checkpoint of step {step} in {self.folder / kind} could not be saved ({kept}): {error}"
        self._unsaved[kind] = f"{message}\nIs the disk full, or the folder not writable? Mend that and resume."
        if self._failures[kind] >= FAILURES_IN_ROW or jax.process_count() > 1:
            raise RunError(self._unsaved[kind])
        log.warning("%s; training goes on and tries again at the next", message)


def _clear(place: Path, step: int) -> None:
    """Removes what a failed save left.

    When one of Orbax's threads has failed, others may still be writing: then what was removed comes back, and a
    manager that is opened meanwhile fails over it.
    """
    quiet = 0
    for _ in range(CLEAR_TRIES):
        left = [path for path in (place / str(step), *place.glob(f"{step}.orbax-checkpoint-tmp*")) if path.exists()]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        quiet = 0 if left else quiet + 1
        if quiet == 3:
            return
        time.sleep(0.05)


@contextlib.contextmanager
def open_checkpoints(folder: Path, origin: Record | None = None, kinds: Sequence[str] = KINDS) -> Iterator[Checkpoints]:
    """Checkpoints to be written; closed, and so finished, whatever happens inside."""
    checkpoints = Checkpoints(folder, origin, kinds)
    try:
        yield checkpoints
    except BaseException:
        with contextlib.suppress(RunError):  # what happened inside is what to tell
            checkpoints.close()
        raise
    checkpoints.close()
