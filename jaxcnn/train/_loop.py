"""The training loop: steps, epochs, evaluation, checkpoints, and stops without loss of work."""

import contextlib
import dataclasses
import functools
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from jaxcnn._freed_memory import release_freed_memory
from jaxcnn._reprs import html_table
from jaxcnn.train._checkpoints import KEPT, Checkpoints, open_checkpoints, provenance, resume
from jaxcnn.train._compile_cache import CacheHits
from jaxcnn.train._data_files import naming_changed_files, record_files
from jaxcnn.train._devices import Parallel, Step, compile_step, host_temporaries
from jaxcnn.train._diagnose import first_not_finite
from jaxcnn.train._distributed import agreed, is_first, together, wait_for_all
from jaxcnn.train._early_stopping import STOPPED
from jaxcnn.train._epochs import Epochs
from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._feed import Input, open_input
from jaxcnn.train._kept import epochs_to_keep
from jaxcnn.train._memory import memory_advice
from jaxcnn.train._overlap import warn_of_overlap
from jaxcnn.train._peak import timing
from jaxcnn.train._reports import Progress, log
from jaxcnn.train._roll_back import kinds
from jaxcnn.train._runs import Record, RunFolder, installed_packages
from jaxcnn.train._state import TrainState, create_state
from jaxcnn.train._step import StepMetrics, epoch_order
from jaxcnn.train._watch import Callback, RunInfo, Watchers

# The interval at which a step's metrics are fetched for the display, which waits for the device.
DISPLAY_SECONDS = 0.25

# The interval, in steps, at which several processes ask each other whether one of them has received a signal to stop.
AGREE_EVERY = 10

_CHANGED = "since the checkpoint of step %d was saved, this run has changed: %s. The numbers may differ from here on."


@dataclasses.dataclass(frozen=True, repr=False)
class Outcome:
    """How training ended: after all epochs or by early stopping, or at a step from which it can be resumed.

    Attributes:
        step: the number of steps that are done.
        metrics: the record of the last epoch; None where the run was stopped.
        variables: the evaluated variables, with averaged parameters if there is an average.
        run: the folder of the run.
        history: the records of all epochs so far, as ``metrics.jsonl`` has them.
    """

    step: int
    metrics: Record | None
    variables: dict[str, Any]
    run: Path
    history: list[Record]

    def __repr__(self) -> str:
        return f"Outcome({', '.join(f'{name} {text}' for name, text in self._in_words())})"

    def _repr_html_(self) -> str:
        return html_table(("training", "value"), self._in_words(), caption="Outcome")

    def _in_words(self) -> list[tuple[str, str]]:
        """How it ended, and the last measures of the splits that are evaluated."""
        ended = "early" if self.stopped_early else "all epochs done" if self.finished else "can be resumed"
        last = self.history[-1] if self.history else {}
        measures = [(name, f"{value:.4g}") for name, value in last.items() if name.startswith(("val/", "test/"))]
        return [("step", f"{self.step} ({ended})"), *measures, ("run", str(self.run))]

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping has ended the run."""
        return self.metrics is not None

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping has ended the run."""
        return self.metrics is not None and STOPPED in self.metrics


def train_run(
    experiment: Experiment,
    run: RunFolder,
    *,
    progress: Progress,
    should_stop: Callable[[], bool],
    parallel: Parallel | None = None,
    checkpoint_minutes: float = 10.0,
    callbacks: Sequence[Callback] = (),
    keep_epochs: Iterable[int] = (),
) -> Outcome:
    """Trains from the run's last checkpoint, or from the start, to the end or until ``should_stop``.

    ``parallel`` selects the devices, one unless given (or all, where there are several processes); a run may be
    resumed on others. With several processes, each calls this with the same arguments, and the first one writes.
    The state is saved at the end of an epoch, but not twice in five seconds unless it is the best so far, kept, or that
    of the last epoch. Within an epoch it is saved every ``checkpoint_minutes``.

    The caller holds the run's lock. Given the same experiment, the same versions of all packages, the same devices and
    the same model of CPU, the parameters and metrics at the end are the same bit for bit on the CPU, however often the
    run was stopped or killed in between. Where one of these has changed, a warning names it and training continues.

    Raises:
        RunError: steps are no longer finite, checkpoints cannot be saved, or no existing checkpoint can be used.
        ConfigError: the batch cannot be split evenly over the devices; or data, settings, versions or the compiled
            step are not the same in all processes.
    """
    parallel = parallel or Parallel.over(1 if jax.process_count() == 1 else None)
    parallel.check(experiment.batch_size)
    with together("prepare the training") as same:
        same |= comparable(experiment, parallel)
    state = parallel.place(create_state(experiment))
    now = provenance(experiment, run, parallel)
    with naming_changed_files(run, experiment):
        earlier = resume(run.checkpoints, state, now)
    state = earlier.state if earlier else state
    if is_first():
        record_files(run, experiment)
        run.metrics.restore(earlier.metrics if earlier else [])
        if earlier and earlier.changes:
            log.warning(_CHANGED, int(state.step), "; ".join(earlier.changes))
        if not earlier:
            warn_of_overlap(experiment)
    wait_for_all("metrics are restored")
    keeps = epochs_to_keep(run, keep_epochs)
    saves = [*kinds(experiment), *([KEPT] if keeps else [])]
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(open_checkpoints(run.checkpoints, now, saves, metrics=run.metrics.read))
        stack.enter_context(memory_advice(experiment.batch_size))
        watchers = stack.enter_context(Watchers(callbacks if is_first() else (), _info(experiment, run, state)))
        source = stack.enter_context(contextlib.closing(open_input(experiment, parallel, start=int(state.step))))
        epochs = Epochs(experiment, run, parallel, checkpoints, watchers, keeps)
        fitting = _Fit(
            experiment=experiment,
            run=run,
            parallel=parallel,
            progress=progress,
            should_stop=should_stop,
            checkpoints=checkpoints,
            save_seconds=60 * checkpoint_minutes,
            source=source,
            watchers=watchers,
            epochs=epochs,
        )
        outcome = fitting.run_from(state)
        watchers.end("finished" if outcome.finished else "stopped", outcome.step)
        return outcome


def _info(experiment: Experiment, run: RunFolder, state: TrainState) -> RunInfo:
    recorded = run.recorded()
    return RunInfo(
        path=run.path,
        name=recorded["experiment"],
        identity=recorded["run"],
        settings=MappingProxyType(run.settings()),
        step=int(state.step),
        steps_per_epoch=experiment.steps_per_epoch,
        total_steps=experiment.total_steps,
        history=tuple(MappingProxyType(record) for record in run.metrics.read()),
    )


def comparable(experiment: Experiment, parallel: Parallel) -> dict[str, Any]:
    """The values other than the program that must be equal in all processes of a run: versions, data, and split."""
    scalars = (int, float, str, bool, type(None))
    values = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    return {
        "python": platform.python_version(),
        **{f"the version of {name}": version for name, version in installed_packages().items()},
        "the fingerprint of the data": experiment.data.fingerprint,
        **{name: value for name, value in values.items() if isinstance(value, scalars)},
        **{name: getattr(parallel, name) for name in ("spelling", "batch_stats", "accumulate", "fsdp")},
    }


@dataclasses.dataclass(kw_only=True)
class _Fit:
    """The objects that one call of ``train_run`` uses."""

    experiment: Experiment
    run: RunFolder
    parallel: Parallel
    progress: Progress
    should_stop: Callable[[], bool]
    checkpoints: Checkpoints
    save_seconds: float
    source: Input
    watchers: Watchers
    epochs: Epochs

    def __post_init__(self) -> None:
        self.began = time.perf_counter()
        self.look_every = max(self.experiment.max_skipped, 100)
        self.draw_order = self.parallel.jit(functools.partial(epoch_order, self.experiment))

    def run_from(self, state: TrainState) -> Outcome:
        step_function = self.compile_from(state)
        step, total = int(state.step), self.experiment.total_steps
        self.progress.start(step=step, total=total)
        self.epochs.save_if_best(state)  # a kill may have come between the last checkpoint and the best one
        metrics, trained, training_seconds = None, 0, 0.0
        stopped_early = self.epochs.stopped_early()
        while step < total and not stopped_early:
            epoch = step // self.experiment.steps_per_epoch
            order = self.order(epoch)
            epoch_start, waited, held = time.perf_counter(), self.source.waited, self.watchers.held_seconds
            end = (epoch + 1) * self.experiment.steps_per_epoch
            while step < end:
                self.watch(step, state)
                if self.watchers:
                    self.watchers.before_step(step, state, self.should_stop)
                if self.stop_at(step):
                    self.save(state)
                    return self.outcome(step, state, finished=False)
                if self.save_at(step):
                    self.save(state)
                arrays = self.source.next(metrics)
                state, metrics = step_function(state, arrays, order)
                step, trained = step + 1, trained + self.experiment.batch_size
                self.show(step, metrics)
                if self.watchers:
                    self.watchers.step(step, {"loss": metrics.loss, **metrics.metrics})
            jax.block_until_ready(state)
            seconds = time.perf_counter() - epoch_start - (self.watchers.held_seconds - held)
            training_seconds += seconds
            # With a loss scale, all steps of a short epoch may overflow before the scale is small enough.
            none_taken = not int(state.taken) and self.experiment.loss_scale is None
            if none_taken or int(state.skipped_in_row) >= self.experiment.max_skipped:
                raise self.not_finite_error(state)
            waiting = (self.source.waited - waited) / seconds
            state, record = self.epochs.finish(epoch + 1, state)
            self.progress.epoch(record, waited=waiting if self.experiment.streams else None)
            stopped_early = STOPPED in record
        if trained and is_first():
            self.run.write_timing(
                {"compile_seconds": round(self.compile_seconds, 3)}
                | timing(self.experiment, self.parallel, trained / training_seconds)
                | ({"input_wait": round(self.source.waited / training_seconds, 3)} if self.experiment.streams else {})
            )
        return self.outcome(step, state, finished=True)

    def outcome(self, step: int, state: TrainState, *, finished: bool) -> Outcome:
        history = self.run.metrics.read()
        return Outcome(step, history[-1] if finished else None, state.eval_variables, self.run.path, history)

    def order(self, epoch: int) -> jax.Array:
        """Which examples each step of an epoch reads, on all devices."""
        with self.parallel.context():
            return self.draw_order(np.int32(epoch))

    def stop_at(self, step: int) -> bool:
        """Whether to stop before this step; several processes agree on it only at intervals, since that takes time."""
        if jax.process_count() == 1:
            return self.should_stop()
        return step % AGREE_EVERY == 0 and agreed(self.should_stop())

    def save_at(self, step: int) -> bool:
        """Whether to save before this step, within an epoch; the clocks of several processes need not agree."""
        self.checkpoints.check()
        seconds = min(time.perf_counter() - self.began, self.checkpoints.seconds_since_last)
        due = seconds >= self.save_seconds
        if jax.process_count() == 1:
            return due
        return step % AGREE_EVERY == 0 and agreed(due)

    def save(self, state: TrainState) -> None:
        self.watchers.flush()
        self.checkpoints.save("last", state)

    def compile_from(self, state: TrainState) -> Step:
        """Compiles the step ahead of time, so that its time is known and a second compilation impossible."""
        self.progress.compiling()
        start = time.perf_counter()
        order = self.order(0)
        with CacheHits() as hits:  # tracing compiles constants too, before the step
            compiled = compile_step(self.experiment, self.parallel, state, self.source.shapes(), order)
        self.compile_seconds = time.perf_counter() - start
        # Compilation may have used more memory than the steps do.
        release_freed_memory(temporary=host_temporaries(compiled, self.parallel))
        self.progress.compiled(self.compile_seconds, from_cache=hits.last)
        return compiled

    def show(self, step: int, metrics: StepMetrics) -> None:
        if self.progress.due(DISPLAY_SECONDS):
            found = {"loss": metrics.loss, **metrics.metrics}
            self.progress.step(step, {name: float(value) for name, value in found.items()})

    def watch(self, step: int, state: TrainState) -> None:
        """Stops a run whose steps are all skipped.

        Reading the state waits for the device, so it is rare; a state that is past the limit does not change.
        """
        if step % self.look_every == 0 and int(state.skipped_in_row) >= self.experiment.max_skipped:
            raise self.not_finite_error(state)

    def not_finite_error(self, state: TrainState) -> RunError:
        """The error of a run that takes no more steps; runs the last batch again to find the cause."""
        step, in_row = int(state.step), int(state.skipped_in_row)
        epoch = (step - 1) // self.experiment.steps_per_epoch
        arrays, order = self.source.reread(step - 1), self.order(epoch)
        where = first_not_finite(self.experiment, self.parallel, state, arrays, order, step - 1)
        return RunError(
            f"the last {in_row} steps, up to step {step} in epoch {epoch + 1}, had a NaN or an infinity and were "
            f"skipped: the run diverged. In the batch of step {step} the first to go wrong is {where}. "
            f"{self.checkpoint_kept()} Try a smaller learning rate."
        )

    def checkpoint_kept(self) -> str:
        """A sentence about the newest checkpoint on the disk, after the save that is under way."""
        with contextlib.suppress(RunError):
            self.checkpoints.settle("last")
        steps = self.checkpoints.steps("last")
        if not steps:
            return "No checkpoint was saved before that."
        return f"The checkpoint of step {max(steps)} is kept in {self.run.checkpoints}."
