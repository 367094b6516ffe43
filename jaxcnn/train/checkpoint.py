"""Reading checkpoints: every array is held against its checksum, and a damaged checkpoint gives way to an older one."""

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxcnn.train.checksums import Record, check_arrays, check_fits, check_seal
from jaxcnn.train.distributed import is_first, wait_for_all
from jaxcnn.train.errors import DamageError, RunError
from jaxcnn.train.experiment import Experiment
from jaxcnn.train.state import TrainState
from jaxcnn.train.warnings_log import log

FORMAT = 1
KINDS = ("last", "best")
STATE, RECORD = "state", "record"  # the two items of a checkpoint, which Orbax commits together
DAMAGED = "damaged"


def origin_of(experiment: Experiment) -> Record:
    """What decides which images a step reads: a checkpoint of another origin is not gone on from."""
    return {
        "dataset": experiment.dataset.fingerprint,
        "batch_size": experiment.batch_size,
        "seed": experiment.seed,
    }


@dataclasses.dataclass(frozen=True)
class Saved:
    """One checkpoint on the disk."""

    folder: Path
    kind: str
    step: int

    def __str__(self) -> str:
        return f"{self.kind} checkpoint of step {self.step}"

    @property
    def path(self) -> Path:
        """Its folder."""
        return (self.folder / self.kind / str(self.step)).resolve()


def saved(folder: Path, kinds: Iterable[str]) -> list[Saved]:
    """The finished checkpoints of some kinds, newest first."""
    places = {kind: (folder / kind).resolve() for kind in kinds}
    found = [
        Saved(folder, kind, step)
        for kind, place in places.items()
        if place.is_dir()
        for step in ocp.utils.checkpoint_steps(place)
    ]
    return sorted(found, key=lambda one: (one.step, one.kind == "last"), reverse=True)


def read_record(one: Saved) -> Record:
    """What was recorded with a checkpoint: ``format``, ``origin`` and ``arrays``.

    Raises:
        DamageError: the record is missing or damaged.
        RunError: it is in a format of a later jaxcnn.
    """
    file = one.path / RECORD
    if not file.is_dir():
        raise DamageError(f"{file} is missing")
    try:
        reader = ocp.Checkpointer(ocp.JsonCheckpointHandler(), multiprocessing_options=_alone())
        content = check_seal(reader.restore(file))
    except (OSError, ValueError, KeyError) as error:
        raise DamageError(f"{file} cannot be read ({_first_line(error)})") from error
    if content["format"] > FORMAT:
        raise RunError(f"the {one} in {one.folder} was written by a later jaxcnn; update this one to read it.")
    return content


def read_arrays(one: Saved, arrays: Record, template: Any) -> Any:
    """The state, every array checked; where and of what kind ``template`` says: NumPy, or with a sharding.

    Raises:
        DamageError: something is missing, cannot be read, or is not what was saved.
    """
    file = one.path / STATE
    if not file.is_dir():
        raise DamageError(f"{file} is missing")
    try:
        state = _reader(template).restore(file, args=ocp.args.StandardRestore(template))
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # the machine's trouble, not the checkpoint's
    except Exception as error:  # Orbax raises a bare Exception where TensorStore cannot read
        raise DamageError(f"{file} cannot be read ({_first_line(error)})") from error
    check_arrays(arrays, state)
    return state


def _reader(template: Any) -> ocp.Checkpointer:
    """Reads NumPy arrays in this process alone, others in all of them together."""
    if not all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(template)):
        return ocp.Checkpointer(ocp.StandardCheckpointHandler())
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
    return ocp.Checkpointer(handler, multiprocessing_options=_alone())


def _alone() -> ocp.options.MultiprocessingOptions:
    """Of several processes only this one takes part, and waits for no other."""
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"read_back_{me}"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def restore(folder: Path, kind: str, template: TrainState) -> TrainState:
    """Reads the newest good state of a kind (``"last"`` or ``"best"``), placed as ``template``'s arrays are.

    Where the last checkpoints are damaged, the best is taken if it is newer than any good one of them.

    Raises:
        RunError: there is no checkpoint, all are damaged, or it does not fit the template.
    """
    there = saved(folder, KINDS if kind == "last" else [kind])
    if not there:
        raise RunError(
            f"there is no {kind} checkpoint in {folder}: the run ended before its first epoch did. "
            f"Start it again with: jaxcnn train --resume {folder.parent}"
        )
    return _newest_good(there, template, origin=None)[0]


def resume(folder: Path, template: TrainState, origin: Record) -> TrainState | None:
    """The newest good state to go on from, or None where nothing is saved; damaged ones are moved to ``damaged``.

    Raises:
        RunError: all are damaged, or the newest good one is of other data or another model.
    """
    there = saved(folder, KINDS)
    if not there:
        return None
    state, damaged = _newest_good(there, template, origin=origin)
    wait_for_all("checkpoints are read")
    if is_first():
        for one in damaged:
            _set_aside(one)
    wait_for_all("damaged checkpoints are set aside")
    return state


def _newest_good(there: list[Saved], template: TrainState, *, origin: Record | None) -> tuple[TrainState, list[Saved]]:
    """The first that is as it was saved, and those before it, which are not."""
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
    problems: list[str] = []
    for index, one in enumerate(there):
        try:
            content = read_record(one)
            _check_belongs(one, content, abstract, origin)
            state = read_arrays(one, content["arrays"], abstract)
        except DamageError as error:
            problems.append(f"the {one} is damaged: {error}")
            continue
        for problem in problems:
            log.warning("%s; using the %s instead", problem, one)
        return state, there[:index]
    listed = "\n".join(f"  {problem}" for problem in problems)
    folder = there[0].folder
    others = saved(folder, set(KINDS) - {one.kind for one in there})
    advice = f" Try --checkpoint {others[0].kind}." if others else ""
    raise RunError(f"no checkpoint in {folder} can be used:\n{listed}\nRestore one from a copy.{advice}")


def _check_belongs(one: Saved, content: Record, template: Any, origin: Record | None) -> None:
    """Refuses to go on with other images, another batch or seed, or another model.

    Raises:
        RunError: says what differs.
    """
    for name, value in (origin or {}).items():
        if content["origin"][name] != value:
            raise RunError(
                f"the {one} in {one.folder} was trained with {name} {content['origin'][name]}, but this run has "
                f"{value}: its place in the data would be another. Set it back, or start a new run."
            )
    try:
        check_fits(content["arrays"], template)
    except RunError as error:
        raise RunError(f"the {one} in {one.folder} does not fit this model: {error}") from error


def _set_aside(one: Saved) -> None:
    """Moves a damaged checkpoint out of the way of the one that will be saved at its step."""
    target = one.folder / DAMAGED / f"{one.kind}-{one.step}"
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    one.path.rename(target)
