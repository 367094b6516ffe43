"""Checkpoints of a run through Orbax: the last two states, and the best by test accuracy."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from jaxcnn.train.errors import RunError
from jaxcnn.train.state import TrainState

KINDS = ("last", "best")


class Checkpoints:
    """Saves in the background and finishes on closing; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        logging.getLogger("absl").setLevel(logging.WARNING)
        self.folder = folder.resolve()  # Orbax wants absolute paths
        self._managers = {
            # Two of the last, so that one is whole while the next is being written.
            kind: ocp.CheckpointManager(
                self.folder / kind,
                options=ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True),
            )
            for kind, keep in (("last", 2), ("best", 1))
        }

    def save(self, kind: str, state: TrainState) -> None:
        """Starts to save a state under its step; a step that is there already is the same state, and is left."""
        step = int(state.step)
        manager = self._managers[kind]
        if step not in manager.all_steps():
            manager.save(step, args=ocp.args.StandardSave(state))

    def close(self) -> None:
        """Waits until everything is on the disk.

        Raises:
            RunError: a save failed.
        """
        for kind, manager in self._managers.items():
            try:
                manager.wait_until_finished()
            except (OSError, ValueError) as error:
                raise RunError(f"the {kind} checkpoint in {self.folder / kind} could not be saved: {error}") from error
            finally:
                manager.close()


@contextlib.contextmanager
def open_checkpoints(folder: Path) -> Iterator[Checkpoints]:
    """Checkpoints to be written; closed, and so finished, whatever happens inside."""
    checkpoints = Checkpoints(folder)
    try:
        yield checkpoints
    finally:
        checkpoints.close()


def saved_step(folder: Path, kind: str) -> int | None:
    """The newest finished step of a kind, or None."""
    place = (folder / kind).resolve()
    return max(ocp.utils.checkpoint_steps(place), default=None) if place.is_dir() else None


def restore(folder: Path, kind: str, template: TrainState) -> TrainState:
    """Reads the newest state of a kind (``"last"`` or ``"best"``), in the shapes and types of ``template``.

    Raises:
        RunError: there is no checkpoint, or it does not fit the template.
    """
    step = saved_step(folder, kind)
    if step is None:
        raise RunError(
            f"there is no {kind} checkpoint in {folder}: the run ended before its first epoch did. "
            f"Start it again with: jaxcnn train --resume {folder.parent}"
        )
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
    with ocp.CheckpointManager((folder / kind).resolve()) as manager:
        try:
            return manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except (ValueError, KeyError) as error:
            raise RunError(
                f"the {kind} checkpoint of step {step} in {folder} does not fit this model: {error}"
            ) from error
