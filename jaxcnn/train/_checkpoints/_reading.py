"""Reading checkpoints: every array is compared with its checksum, and an older checkpoint replaces a damaged one.

A checkpoint is a folder ``KIND/STEP`` with two entries: ``state``, the arrays as Orbax writes them, and
``record.json``, a record with its own checksum: format, kind, step, the identity and the provenance of the run, the
metrics up to this step, and the checksum of every array.
"""

import dataclasses
import functools
import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxcnn._files import sync
from jaxcnn.train._checkpoints._checksums import Record, check_arrays, check_fits, check_seal
from jaxcnn.train._checkpoints._keys import with_keys, without_keys
from jaxcnn.train._checkpoints._provenance import ORIGIN, changes
from jaxcnn.train._distributed import is_first, wait_for_all
from jaxcnn.train._errors import DamageError, OtherDataError, RunError
from jaxcnn.train._reports import log
from jaxcnn.train._runs import EXTENDED, HeldFolder, RunFolder, make_folder
from jaxcnn.train._state import TrainState, Variables

T = TypeVar("T")

FORMAT = 3
CheckpointKind = Literal["last", "best"]
KINDS: tuple[CheckpointKind, ...] = get_args(CheckpointKind)
# The variables of selected epochs; no run is resumed from them.
KEPT = "kept"
STATE, RECORD = "state", "record.json"
DAMAGED = "damaged"


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
        return self.folder / self.kind / str(self.step)


def saved(folder: Path, kinds: Iterable[str]) -> list[Saved]:
    """The finished checkpoints of some kinds, newest first."""
    found = []
    for kind in kinds:
        names = [path.name for path in (folder / kind).iterdir()] if (folder / kind).is_dir() else []
        found += [Saved(folder, kind, int(name)) for name in names if name.isdecimal() and name == str(int(name))]
    return sorted(found, key=lambda one: (one.step, one.kind == "last"), reverse=True)


def read_record(place: Path) -> Record:
    """The record of the checkpoint in a folder.

    Raises:
        DamageError: the record is missing or damaged.
        RunError: it is in a format of a later jaxcnn.
    """
    file = place / RECORD
    if not file.is_file():
        raise DamageError(f"{file} is missing")
    try:
        content = check_seal(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise DamageError(f"{file} cannot be read ({_first_line(error)})") from error
    if content["format"] > FORMAT:
        raise RunError(f"{place} was written by a later jaxcnn; update this one to read it.")
    if content["format"] < FORMAT:
        raise RunError(
            f"{place} was written by jaxcnn 0.1, whose training state had other parts: its format is "
            f"{content['format']}, and this jaxcnn reads {FORMAT}. Use the run with that version, or train it again."
        )
    return content


def read_arrays(place: Path, arrays: Record, template: Any, *, some: bool = False) -> Any:
    """The state in a checkpoint's folder, every array checked.

    ``template`` has the shapes and types of the arrays, and their placement: NumPy arrays, or a sharding for each
    array. With ``some`` it is a dict of NumPy arrays, and only the arrays that it names are read.

    Raises:
        DamageError: something is missing, cannot be read, or differs from what was saved.
    """
    file = place / STATE
    if not file.is_dir():
        raise DamageError(f"{file} is missing")
    if some:
        numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), template)
        reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
        wanted = ocp.args.PyTreeRestore(item=template, restore_args=numpy, partial_restore=True)
    else:
        reader, wanted = _reader(template), ocp.args.StandardRestore(template)
    held = HeldFolder(place)  # not the file: Orbax names its barriers between processes by the last part of the path
    try:
        state = reader.restore(held.place / STATE, args=wanted)
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # a fault of the machine, not of the checkpoint
    except Exception as error:  # Orbax raises a bare Exception where TensorStore cannot read
        raise DamageError(f"{file} cannot be read ({_first_line(error)})") from error
    finally:
        held.close()
    check_arrays(arrays, state)
    return state


def _reader(template: Any) -> ocp.Checkpointer:
    """Reads NumPy arrays in this process alone, others in all processes together."""
    if not all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(template)):
        return ocp.Checkpointer(ocp.StandardCheckpointHandler())
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"read_back_{me}"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def restore(folder: Path, kind: str, template: TrainState) -> TrainState:
    """Reads the newest good state of a kind (``"last"`` or ``"best"``), placed as ``template``'s arrays are.

    If checkpoints of the kind ``"last"`` are damaged, ``"best"`` is read if it is newer than the newest good one.

    Raises:
        RunError: there is no checkpoint, all are damaged, or it does not fit the template.
    """
    return newest_good(present(folder, kind), functools.partial(_read_state, template, {})).content


def present(folder: Path, kind: str) -> list[Saved]:
    """The checkpoints that can be read for a kind. For ``"last"`` these include ``"best"``, which may be newer.

    Raises:
        RunError: there is no checkpoint.
    """
    there = saved(folder, KINDS if kind == "last" else [kind])
    if not there:
        raise RunError(
            f"there is no {kind} checkpoint in {folder}: the run ended before its first epoch did. "
            f"Start it again with: jaxcnn train --resume {shlex.quote(str(folder.parent))}"
        )
    return there


@dataclasses.dataclass(frozen=True)
class Resumed:
    """A state to continue from, the metrics up to its step, and what of the run has changed since it was saved."""

    state: TrainState
    metrics: list[Record]
    changes: list[str]


def resume(folder: Path, template: TrainState, now: Record) -> Resumed | None:
    """The newest good state to continue from, or None where nothing is saved. Damaged ones move to ``damaged``.

    ``now`` is the run's ``provenance``.

    Raises:
        RunError: all are damaged, or the newest good one has other data or another model.
    """
    candidates = saved(folder, KINDS)
    if not candidates:
        return None
    found = newest_good(candidates, functools.partial(_read_state, template, now.get(ORIGIN, {})))
    damaged = found.damaged + _unusable(candidates[len(found.damaged) + 1 :])
    wait_for_all("checkpoints are read")
    if is_first():
        for one in damaged:
            _set_aside(one)
    wait_for_all("damaged checkpoints are set aside")
    before, after = found.record.get("environment", {}), now.get("environment", {})
    changed = changes(_extended(before, folder, found.step), after)
    return Resumed(state=found.content, metrics=found.record["metrics"], changes=changed)


def _extended(environment: Record, folder: Path, step: int) -> Record:
    """The environment of a checkpoint with the settings by which the run was extended since: these are no surprise."""
    settings = dict(environment.get("config.json", {}))
    for entry in RunFolder(folder.parent).recorded().get(EXTENDED, []) if settings else []:
        if entry["step"] >= step:
            settings |= entry["settings"]
    return environment | ({"config.json": settings} if settings else {})


def read_newest(folder: Path, template: TrainState, now: Record) -> TrainState | None:
    """The newest good state that a run would continue from, or None where nothing is saved. Nothing is changed.

    Raises:
        RunError: all are damaged, or the newest good one has other data or another model.
    """
    candidates = saved(folder, KINDS)
    if not candidates:
        return None
    return newest_good(candidates, functools.partial(_read_state, template, now.get(ORIGIN, {}))).content


def _read_state(template: TrainState, origin: Record, one: Saved, record: Record) -> TrainState:
    """The whole state of a checkpoint.

    Raises:
        DamageError: it is not what was saved.
        RunError: it has other data, or does not fit the template.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, without_keys(template))
    _check_belongs(one, record, abstract, origin)
    state: TrainState = with_keys(read_arrays(one.path, record["arrays"], abstract), template)
    return state


@dataclasses.dataclass(frozen=True)
class Found(Generic[T]):
    """The content of the newest good checkpoint, its step, its record, and the newer checkpoints, which are damaged."""

    content: T
    step: int
    record: Record
    damaged: list[Saved]


def newest_good(candidates: Sequence[Saved], read: Callable[[Saved, Record], T]) -> Found[T]:
    """Reads the first checkpoint that is good; warns of the damaged checkpoints before it.

    Args:
        candidates: checkpoints, the newest first.
        read: the content of a checkpoint, given its record; raises a ``DamageError`` where it is damaged.

    Raises:
        RunError: all are damaged; the message says what is wrong with each.
    """
    problems: list[str] = []
    for index, one in enumerate(candidates):
        try:
            record = _read_own_record(one)
            content = read(one, record)
        except DamageError as error:
            problems.append(f"the {one} is damaged: {error}")
            continue
        for problem in problems:
            log.warning("%s; using the %s instead", problem, one)
        return Found(content, one.step, record, list(candidates[:index]))
    listed = "\n".join(f"  {problem}" for problem in problems)
    folder = candidates[0].folder
    others = saved(folder, set(KINDS) - {one.kind for one in candidates})
    advice = f" Try --checkpoint {others[0].kind}." if others else ""
    raise RunError(f"no checkpoint in {folder} can be used:\n{listed}\nRestore one from a copy.{advice}")


def _unusable(older: Sequence[Saved]) -> list[Saved]:
    """The older checkpoints whose record is damaged or belongs to another run; the arrays are not read."""
    bad = []
    for one in older:
        try:
            _read_own_record(one)
        except DamageError as error:
            log.warning("the %s is damaged: %s", one, error)
            bad.append(one)
    return bad


def _read_own_record(one: Saved) -> Record:
    """The record of a checkpoint, which must be of this kind, step and run: it may have been copied or renamed.

    Raises:
        DamageError: the record is missing or damaged, or says that the checkpoint is another one.
    """
    record = read_record(one.path)
    if (record["kind"], record["step"]) != (one.kind, one.step):
        origin = Saved(one.folder, record["kind"], record["step"])
        raise DamageError(f"{one.path} holds the {origin}; it was renamed or copied")
    run = RunFolder(one.folder.parent)
    if (run.path / "config.json").is_file() and record.get("run") != run.identity:
        raise DamageError(
            f"{one.path} belongs to another run (its identity is {record.get('run')}, not {run.identity})"
        )
    return record


def _check_belongs(one: Saved, record: Record, template: Any, origin: Record) -> None:
    """Refuses to continue with other data, another batch size or seed, or another model.

    Raises:
        RunError: one of these differs; the message names it.
    """
    for name, value in origin.items():
        if record[ORIGIN][name] != value:
            raise (OtherDataError if name == "dataset" else RunError)(
                f"the {one} in {one.folder} was trained with {name} {record[ORIGIN][name]}, but this run has "
                f"{value}: its place in the data would be another. Set it back, or start a new run from its variables: "
                f"jaxcnn train --from {shlex.quote(str(one.folder.parent))}"
            )
    try:
        check_fits(record["arrays"], template)
    except RunError as error:
        raise RunError(f"the {one} in {one.folder} does not fit this model: {error}") from error


def read_variables(folder: Path, kind: str, wanted: Variables) -> tuple[Variables, int]:
    """The evaluated variables of the newest good checkpoint of a kind, and its step, without the rest of the state.

    ``wanted`` has their structure and shapes.

    Raises:
        RunError: there is no good checkpoint, or its variables have other names or shapes; the message names them.
    """
    found = newest_good(present(folder, kind), functools.partial(_read_variables, wanted))
    return found.content, found.step


def read_kept(folder: Path, wanted: Variables) -> list[tuple[Variables, int]]:
    """The variables of all checkpoints of chosen epochs, each with its step, in order.

    Raises:
        RunError: a checkpoint is damaged, or its variables have other names or shapes; the message names them.
    """
    each = [newest_good([one], functools.partial(_read_variables, wanted)) for one in saved(folder, [KEPT])]
    return [(found.content, found.step) for found in reversed(each)]


def _read_variables(wanted: Variables, one: Saved, record: Record) -> Variables:
    arrays, plain = record["arrays"], without_keys(wanted)
    params = "ema_params" if any(name.startswith("ema_params/") for name in arrays) else "params"
    collections = {name: tree for name, tree in plain.items() if name != "params" and jax.tree.leaves(tree)}
    template = {params: plain["params"], **({"collections": collections} if collections else {})}
    try:
        check_fits(
            {name: array for name, array in arrays.items() if name.startswith((f"{params}/", "collections/"))}, template
        )
    except RunError as error:
        raise RunError(f"the {one} in {one.folder} does not fit this model: {error}.") from error
    template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), template)
    state = read_arrays(one.path, arrays, template, some=True)
    found = {"params": state[params], **state.get("collections", {})}
    variables: Variables = with_keys({name: found.get(name, {}) for name in wanted}, wanted)
    return variables


def _set_aside(one: Saved) -> None:
    """Moves a damaged checkpoint to ``damaged``, so that a new one of its step can be saved.

    Raises:
        RunError: it cannot be moved.
    """
    parent, name, number = one.folder / DAMAGED, f"{one.kind}-{one.step}", 1
    try:
        make_folder(parent)
        while (parent / name).exists():
            number += 1
            name = f"{one.kind}-{one.step}-{number}"
        one.path.rename(parent / name)
        sync(parent)
        sync(one.path.parent)
    except OSError as error:
        raise RunError(
            f"the damaged checkpoint {one.path} cannot be moved to {parent}: {error.strerror}. "
            f"Move it out of the run folder and resume."
        ) from error
