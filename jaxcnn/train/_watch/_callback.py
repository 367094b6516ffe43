"""The base class of callbacks, and the information that they receive."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

Status = Literal["finished", "stopped", "failed"]


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """The information that a callback receives when a run starts or is resumed.

    Attributes:
        path: the folder of the run.
        name: of the experiment, or of the data set of a run from Python.
        identity: a random text that the run keeps when it is resumed.
        settings: as ``config.json`` has them.
        step: the number of steps that are done: 0 for a new run.
        steps_per_epoch: full batches in the training split.
        total_steps: steps of the whole run.
        history: the records of the epochs that are done, as ``metrics.jsonl`` has them.
    """

    path: Path
    name: str
    identity: str
    settings: Mapping[str, Any] = dataclasses.field(repr=False)
    step: int
    steps_per_epoch: int
    total_steps: int
    history: tuple[Mapping[str, Any], ...] = dataclasses.field(repr=False)


class Callback:
    """Base class of callbacks: override the methods that you need; the others do nothing.

    Callbacks are given to ``train.fit(experiment, callbacks=[...])``. They receive records and arrays that cannot be
    changed, so that the results of the run are the same with and without them. They are called between steps: a slow
    one delays the next step, but not the one that the device computes meanwhile.

    An exception does not end the run. A warning names the callback and the exception, once for each callback; a
    callback whose ``start`` raised is not called again.

    With several processes, the first one calls them. A callback receives each step and each epoch before a checkpoint
    that includes it is saved. So when a run is resumed, even after a kill, everything up to ``RunInfo.step`` has been
    received, and the later steps are received again, with the same numbers.

    Attributes:
        every: the number of steps from one call of ``step`` to the next: it is called after the steps that are
            multiples of it.

    >>> class Print(Callback):
    ...     def evaluation(self, record):
    ...         print(record["step"], record["test/accuracy"])
    >>> Print().evaluation({"step": 7, "test/accuracy": 0.5})
    7 0.5
    """

    every: int = 100

    def start(self, run: RunInfo) -> None:
        """Training begins, or is resumed, at ``run.step``."""

    def step(self, record: Mapping[str, Any]) -> None:
        """A step is done: ``step``, ``epoch`` (counted from 1), ``batch/loss`` and each metric as ``batch/NAME``.

        The device is not waited for: the call may come some steps later.
        """

    def looks(self, step: int) -> bool:
        """Whether ``look`` is called now; called before each step, where ``step`` is the number of steps that are done.

        It is called often, so it has to return quickly. By default ``look`` is never called.
        """
        return False

    def look(self, step: int, variables: Mapping[str, Any]) -> None:
        """The variables after ``step`` steps: those that are evaluated, with the averaged parameters if there are any.

        The arrays are valid until this returns: the next step reuses their memory. They may not be computed yet. To
        read their values waits for the device; a function of them under ``jax.jit`` is queued behind the step.
        """

    def holds(self, step: int) -> bool:
        """Whether the run waits before its next step; called again until it returns False, or the run is stopped.

        Meanwhile ``looks`` is called too. The waiting time does not count in the measured speed of the run.
        """
        return False

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """An epoch is done and recorded; the record is its line of ``metrics.jsonl``."""

    def end(self, status: Status, step: int) -> None:
        """Training ended: ``"finished"``, ``"stopped"`` (it can be resumed), or ``"failed"`` with an exception."""
