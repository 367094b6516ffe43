"""The time of a training step: a trace, and a table by layer and direction."""

import collections
import dataclasses
import functools
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.train._checkpoints import restore
from jaxcnn.train._devices import Parallel, lowered_step
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._feed import open_input
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import TrainState, abstract_state
from jaxcnn.train._step import PARTS, epoch_order

# Instructions that only run others, which are in the trace themselves.
CONTAINERS = ("while", "conditional", "call", "async-start", "async-done", "async-update")
BETWEEN = "between layers"
OTHER = "other"
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = .*? ([\w\-]+)\(")
_NAME = re.compile(r'op_name="([^"]*)"')
_WRAPPED = re.compile(r"(\w+)\((.*)\)$")


@dataclasses.dataclass(frozen=True)
class Row:
    """Milliseconds of a step that one layer, or one part of the step, takes in XLA's operations."""

    where: str
    forward: float
    backward: float

    @property
    def total(self) -> float:
        """The sum of both directions."""
        return self.forward + self.backward


@dataclasses.dataclass(frozen=True)
class Profile:
    """The time of several consecutive steps.

    Attributes:
        steps: the number of steps that were traced.
        step_milliseconds: wall time of one traced step.
        input_wait: the fraction of this time in which the devices waited for examples.
        rows: by layer, the slowest first. The sum is of all threads and devices, so it may exceed the wall time.
        files: the trace, as XProf (``.xplane.pb``) and Perfetto (``.trace.json.gz``) read it.
    """

    steps: int
    step_milliseconds: float
    input_wait: float
    rows: tuple[Row, ...]
    files: tuple[Path, ...]


def profile_run(
    run: RunFolder,
    experiment: Experiment,
    *,
    folder: Path | None = None,
    parallel: Parallel | None = None,
    steps: int = 10,
) -> Profile:
    """Trains a few steps from the last checkpoint of a run under JAX's profiler. The run does not change.

    Args:
        run: the folder of the run.
        experiment: what the run trains.
        folder: of the trace, ``profile`` in the folder of the run unless given; JAX makes a folder in it, named by
            the time.
        parallel: the devices; by default one.
        steps: the number of steps that are traced, after two that are not.

    Returns:
        the time of a step, and of each layer in the forward and the backward direction.

    Raises:
        ConfigError: no step, or a step with ``spelling="pmap"``, whose compiled program JAX does not show.
        RunError: the run has no checkpoint, or it is damaged.
    """
    parallel = parallel or Parallel.over(1)
    state = restore(run.checkpoints, "last", parallel.template(abstract_state(experiment)))
    return profile_steps(experiment, state, folder or run.path / "profile", parallel=parallel, steps=steps)


def profile_steps(
    experiment: Experiment, state: TrainState, folder: Path, *, parallel: Parallel | None = None, steps: int = 10
) -> Profile:
    """Trains a few steps from a state, which is donated, under JAX's profiler; nothing is kept but the trace.

    Args:
        experiment: what is trained.
        state: placed as ``parallel`` places it.
        folder: of the trace, which JAX puts into a folder of its own in there, named by the time.
        parallel: the devices; by default one.
        steps: the number of steps that are traced, after two that are not.

    Raises:
        ConfigError: no step, or a step with ``spelling="pmap"``, whose compiled program JAX does not show.
    """
    parallel = parallel or Parallel.over(1)
    if steps < 1:
        raise ConfigError(f"a profile of {steps} steps shows nothing; expected at least one.")
    if parallel.spelling == "pmap":
        raise ConfigError("the program of a pmap cannot be read; profile with --spelling jit or shard_map.")
    start, warm = int(state.step), 2
    # Steps beyond the end of a finished run take the same time as others.
    more = dataclasses.replace(experiment, epochs=start // experiment.steps_per_epoch + 1 + warm + steps)
    source = open_input(more, parallel, start=start)
    try:
        with parallel.context():
            order = parallel.jit(functools.partial(epoch_order, more))(np.int32(start // more.steps_per_epoch))
            compiled = lowered_step(more, parallel, state, source.shapes(), order).compile()
        metrics = None
        for _ in range(warm):
            state, metrics = compiled(state, source.next(metrics), order)
        jax.block_until_ready(state)
        before = set(folder.rglob("*"))
        with jax.profiler.trace(str(folder)):
            waited, began = source.waited, time.perf_counter()
            for _ in range(steps):
                state, metrics = compiled(state, source.next(metrics), order)
            jax.block_until_ready(state)
            seconds = time.perf_counter() - began
    finally:
        source.close()
    new = set(folder.rglob("*")) - before
    files = sorted(path for path in new if path.name.endswith((".xplane.pb", ".trace.json.gz")))
    nanoseconds = _by_operation(next(path for path in files if path.name.endswith(".xplane.pb")))
    rows = _by_layer(nanoseconds, operation_names(compiled.as_text()), layers_of(state.params))
    return Profile(
        steps=steps,
        step_milliseconds=1e3 * seconds / steps,
        input_wait=(source.waited - waited) / seconds,
        rows=tuple(
            sorted(
                (Row(where, *(1e-6 * value / steps for value in pair)) for where, pair in rows.items()),
                key=lambda row: row.total,
                reverse=True,
            )
        ),
        files=tuple(files),
    )


def layers_of(params: Any) -> set[tuple[str, ...]]:
    """The paths of the modules that hold parameters, and the ends of these paths.

    Names of operations have only the end if an objective applies several networks, whose parameters have keys of their
    own in one tree.

    >>> sorted(layers_of({"conv": {"kernel": 0, "bias": 0}, "block": {"norm": {"scale": 0}}}))
    [('block', 'norm'), ('conv',), ('norm',)]
    """
    paths = jax.tree_util.tree_flatten_with_path(params)[0]
    whole = {tuple(str(getattr(key, "key", key)) for key in path[:-1]) for path, _ in paths}
    return {path[start:] for path in whole for start in range(len(path))}


def operation_names(program: str) -> dict[str, str]:
    """JAX's name of each instruction of a compiled program, without instructions that only run others.

    >>> operation_names('  %fusion.1 = f32[2]{0} fusion(%p), calls=%f, metadata={op_name="jit(step)/conv/add"}')
    {'fusion.1': 'jit(step)/conv/add'}
    """
    found = {}
    for line in program.splitlines():
        if (instruction := _INSTRUCTION.match(line)) and instruction[2] not in CONTAINERS:
            name = _NAME.search(line)
            found[instruction[1]] = name[1] if name else ""
    return found


def place_of(name: str, layers: set[tuple[str, ...]]) -> tuple[str, bool]:
    """The layer or part of the step that an operation belongs to, and whether it is in the backward pass.

    >>> place_of("jit(step)/transpose(jvp(Net))/block/norm/mul", {("block", "norm")})
    ('block/norm', True)
    >>> place_of("jit(step)/jvp(Net)/Dropout_0/mul", {("block", "norm")})
    ('between layers', False)
    """
    back, words = "transpose(" in name, []
    for word in name.split("/"):
        while wrapped := _WRAPPED.match(word):
            word = wrapped[2]
        words.append(word)
    for part in PARTS:
        if part in words:
            return part, back
    for start in range(len(words)):
        for end in range(len(words), start, -1):
            if tuple(words[start:end]) in layers:
                return "/".join(words[start:end]), back
    return (BETWEEN, back) if "jvp(" in name else (OTHER, False)


def _by_operation(file: Path) -> dict[str, float]:
    """Nanoseconds of each instruction, over all threads and devices."""
    total: dict[str, float] = collections.defaultdict(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of JAX's own binding, on Python 3.12 and later
        for name, nanoseconds in _events(jax.profiler.ProfileData.from_file(str(file))):
            total[name] += nanoseconds
    return total


def _events(data: Any) -> Iterator[tuple[str, float]]:
    for plane in data.planes:
        lines = list(plane.lines)
        # A GPU's or TPU's plane lists each operation once by name, and also its kernels by stream.
        for line in [line for line in lines if line.name == "XLA Ops"] or lines:
            for event in line.events:
                name = dict(event.stats).get("hlo_op")
                if name is not None:
                    yield str(name), event.duration_ns


def _by_layer(
    nanoseconds: dict[str, float], names: dict[str, str], layers: set[tuple[str, ...]]
) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
    for operation, duration in nanoseconds.items():
        if operation in names:
            where, back = place_of(names[operation], layers)
            rows[where][back] += duration
    return rows
