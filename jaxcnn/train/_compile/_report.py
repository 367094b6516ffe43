"""The report of a compiler about a program, and a lower bound of the time of the program."""

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax

from jaxcnn._errors import check_choice
from jaxcnn.train._chips import Chip, chip_of
from jaxcnn.train._compile._collectives import Collective, by_kind, collectives, moved
from jaxcnn.train._compile._costs import costs
from jaxcnn.train._compile._gpus import memory_of
from jaxcnn.train._compile._lowering import lower_evaluation, lower_step, split_sizes, with_batch_size
from jaxcnn.train._devices import Parallel
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._evaluate import evaluation_size
from jaxcnn.train._experiment import Experiment

Program = Literal["training step", "evaluation"]
PROGRAMS = get_args(Program)

# In the error of a program that is too large.
_USED = re.compile(r"\(([\d.]+\w?)\) exceeds available HBM \(([\d.]+\w?)\)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileReport:
    """The report of a compiler about one program; all figures are of one device.

    Attributes:
        program: ``"training step"`` or ``"evaluation"``.
        batch_size: examples that the program computes, over all devices.
        devices: the number of devices.
        device_kind: the kind of the devices, as JAX names it.
        lower_seconds: the time to trace and lower the program.
        compile_seconds: the time to compile it.
        too_large: why the memory of a device does not suffice, with all figures 0; None if it does.
        arguments: bytes of the arguments: state, and the batch or the whole training set.
        outputs: bytes of the results that do not reuse the memory of an argument.
        temporaries: bytes of intermediate results.
        flops: operations; a multiply-add is two. The operations of a loop count once for each iteration if the number
            of iterations is known to the compiler. For GPUs, whose compiler reports none, the operations of
            convolutions and matrix products, with loops counted once.
        bytes_accessed: the operands and results of all instructions in the memory of the device, with padding. Arrays
            that stay in the memory on the chip of a TPU are not counted.
        collectives: the operations by which devices exchange arrays.
        moved: the collectives that move activations.
    """

    program: Program
    batch_size: int
    devices: int
    device_kind: str
    lower_seconds: float
    compile_seconds: float
    too_large: str | None = None
    arguments: int = 0
    outputs: int = 0
    temporaries: int = 0
    flops: float = 0.0
    bytes_accessed: float = 0.0
    collectives: tuple[Collective, ...] = ()
    moved: tuple[Collective, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the memory of a device suffices."""
        return self.too_large is None

    @property
    def memory(self) -> int:
        """Bytes of arguments, results and temporaries together."""
        return self.arguments + self.outputs + self.temporaries

    @property
    def intensity(self) -> float:
        """Operations for each byte that is read or written."""
        return self.flops / self.bytes_accessed if self.bytes_accessed else 0.0

    @property
    def bounds(self) -> dict[str, float]:
        """Lower bounds of the seconds of arithmetic and of memory traffic, if the chip is known."""
        chip: Chip | None = chip_of(self.device_kind)
        if chip is None or not self.fits:
            return {}
        return {"arithmetic": self.flops / chip.operations, "memory": self.bytes_accessed / chip.bandwidth}

    @property
    def least_seconds(self) -> float | None:
        """A lower bound of the time of the program: the larger of ``bounds``."""
        return max(self.bounds.values(), default=None)

    @property
    def most_examples_per_second(self) -> float | None:
        """An upper bound of the examples that all devices together compute in a second."""
        return self.batch_size / self.least_seconds if self.least_seconds else None

    def to_dict(self) -> dict[str, Any]:
        """Everything as a dict of plain values."""
        fields = {name: value for name, value in vars(self).items() if name not in ("collectives", "moved")}
        return fields | {
            "fits": self.fits,
            "memory": self.memory,
            "intensity": self.intensity,
            "bounds": self.bounds,
            "least_seconds": self.least_seconds,
            "most_examples_per_second": self.most_examples_per_second,
            "collectives": by_kind(self.collectives),
            "moved_activations": [dataclasses.asdict(each) for each in self.moved],
        }


def compile_for(
    experiment: Experiment,
    parallel: Parallel,
    *,
    program: Program = "training step",
    per_device_batch: int | None = None,
    streamed: bool = False,
) -> CompileReport:
    """Compiles a program of an experiment for devices, present or not, and reports its costs.

    Args:
        experiment: any experiment; its data is not read.
        parallel: the devices, such as ``Parallel(mesh=target_mesh("v5e:4x4"))``, and how a step is split over them.
        program: the training step, or the evaluation of one batch of the test split.
        per_device_batch: the examples of a training step that each device computes, in place of the batch size of the
            experiment.
        streamed: whether the step takes its batch as an argument, as with streamed data, even if the training split of
            the experiment is in memory.

    Raises:
        ConfigError: the batch cannot be split evenly or is larger than a training split in memory, or the step is a
            ``pmap``.
        ValueError: an unknown ``program``.

    >>> import optax
    >>> from jaxcnn import data, models, train
    >>> experiment = train.Experiment(
    ...     **train.classification(models.create("lenet5", num_classes=10)),
    ...     data=data.load("digits"), optimizer=optax.sgd(0.1), epochs=1, batch_size=64,
    ... )
    >>> report = compile_for(experiment, train.Parallel.over(1), program="evaluation")
    >>> report.fits, report.batch_size, report.collectives
    (True, 360, ())
    """
    check_choice(program, PROGRAMS, name="program")
    if parallel.spelling == "pmap":
        raise ConfigError(
            "a pmap cannot be compiled for devices that are not present; compile the same step with the spelling jit "
            "or shard_map."
        )
    batch_size = experiment.batch_size if per_device_batch is None else per_device_batch * parallel.devices
    experiment = with_batch_size(experiment, batch_size, streamed=streamed)
    gathered = split_sizes(experiment, parallel)
    if program == "training step":
        lowered, seconds = _timed(lambda: lower_step(experiment, parallel))
        return _report(program, lowered, seconds, parallel, batch_size, gathered)
    size = evaluation_size(experiment.data.test, parallel)
    lowered, seconds = _timed(lambda: lower_evaluation(experiment, parallel))
    results = {leaf.size for leaf in jax.tree.leaves(lowered.out_info)}  # every device has the arguments of all devices
    return _report(program, lowered, seconds, parallel, size, gathered | results)


def _timed(lower: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return lower(), time.perf_counter() - began


def _report(
    program: Program, lowered: Any, lower_seconds: float, parallel: Parallel, batch_size: int, gathered: set[int]
) -> CompileReport:
    began = time.perf_counter()
    compiled, too_large = None, None
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        too_large = memory_reason(str(error))
        if too_large is None:
            raise
    common = {
        "program": program,
        "batch_size": batch_size,
        "devices": parallel.devices,
        "device_kind": parallel.mesh.devices.flat[0].device_kind,
        "lower_seconds": lower_seconds,
        "compile_seconds": time.perf_counter() - began,
        "too_large": too_large,
    }
    if compiled is None:
        return CompileReport(**common)
    memory = compiled.memory_analysis()
    flops, bytes_accessed = costs(lowered, compiled, parallel.devices)
    found = collectives(compiled.as_text())
    report = CompileReport(
        **common,
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        flops=flops,
        bytes_accessed=bytes_accessed,
        collectives=tuple(found),
        moved=tuple(moved(found, gathered)),
    )
    available = memory_of(report.device_kind)
    if available is None or report.memory <= available:
        return report
    used, there = (f"{number / 2**30:.2f}G" for number in (report.memory, available))
    return CompileReport(**common | {"too_large": f"the program requires {used} of memory, a device has {there}"})


def memory_reason(message: str) -> str | None:
    """A sentence for a compiler's error about memory; None for other errors.

    >>> memory_reason("RESOURCE_EXHAUSTED: ... temporaries (29.80G) exceeds available HBM (15.75G). HLO module: jit_f.")
    'the program requires 29.80G of memory, a device has 15.75G'
    >>> memory_reason("INTERNAL: something else")
    """
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    used = _USED.search(message)
    if used is None:
        return f"the compiler reports too little memory ({message.splitlines()[0][:200]})"
    return f"the program requires {used[1]} of memory, a device has {used[2]}"


def largest_batch(
    experiment: Experiment, parallel: Parallel, *, start: int | None = None, streamed: bool = False
) -> int:
    """The largest batch of a device whose training step fits in its memory, to within a sixteenth; 0 if there is none.

    Compiles the step about ten times.

    Args:
        experiment: with any data and batch size.
        parallel: the devices.
        start: the first batch of a device that is compiled; by default that of the experiment.
        streamed: as in ``compile_for``. Otherwise a batch has at most the examples of a training split in memory.
    """
    each = parallel.devices
    bounded = not (streamed or experiment.streams)
    most = len(experiment.data.train) // each // parallel.accumulate if bounded else None

    def fits(parts: int) -> bool:
        per_device_batch = parts * parallel.accumulate
        return compile_for(experiment, parallel, per_device_batch=per_device_batch, streamed=streamed).fits

    first = max((start or experiment.batch_size // each) // parallel.accumulate, 1)
    return parallel.accumulate * largest_that_fits(fits, first, most)


def largest_that_fits(fits: Callable[[int], bool], start: int, most: int | None = None) -> int:
    """The largest number for which ``fits`` holds, to within a sixteenth; 0 if there is none.

    Args:
        fits: true up to some number, and false above.
        start: the first number that is tried. It is doubled until a number does not fit, then the interval is bisected.
        most: the largest number that is tried.

    >>> largest_that_fits(lambda number: number <= 13, 8)
    13
    """
    low, high, trial = 0, None, start if most is None else min(start, most)
    while True:
        if fits(trial):
            low = trial
        else:
            high = trial
        if high is None:
            if low == most:
                return low
            trial = 2 * low if most is None else min(2 * low, most)
        elif high - low <= max(1, low // 16):
            return low
        else:
            trial = (low + high) // 2
