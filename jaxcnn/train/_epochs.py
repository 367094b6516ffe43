"""The end of an epoch: evaluation, its record, and the checkpoints of its state."""

import math
import time
from collections.abc import Collection
from typing import Any

from jaxcnn.train._checkpoints import KEPT, Checkpoints
from jaxcnn.train._devices import Parallel
from jaxcnn.train._distributed import agreed, is_first
from jaxcnn.train._early_stopping import STOPPED, WITHOUT_IMPROVEMENT
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._kept import kept_state
from jaxcnn.train._roll_back import WENT_BACK, RollBack
from jaxcnn.train._runs import Record, RunFolder
from jaxcnn.train._state import TrainState
from jaxcnn.train._watch import Watchers

# Names of the splits in metrics.jsonl; one of them selects the best checkpoint.
VALIDATION, TEST = "val", "test"

# A save takes up to half a second. If epochs are shorter, a save after each would take most of the time of the run.
SAVE_SECONDS = 5.0


class Epochs:
    """Finishes the epochs of one call of ``fit``.

    With a validation split, this split is evaluated each time, and the test split only after the last epoch.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: RunFolder,
        parallel: Parallel,
        checkpoints: Checkpoints,
        watchers: Watchers,
        keeps: Collection[int] = (),
    ) -> None:
        self.experiment, self.run, self.checkpoints, self.watchers = experiment, run, checkpoints, watchers
        self.keeps = keeps
        self.roll_back = RollBack(experiment, run, checkpoints)
        records = run.metrics.read()
        self.earlier_seconds = records[-1]["seconds"] if records else 0.0
        self.began = time.perf_counter()
        inference, data = Inference.of(experiment), experiment.data
        self.evaluators = {TEST: Evaluator(inference, data.test, parallel=parallel)}
        if data.validation is not None:
            self.evaluators[VALIDATION] = Evaluator(inference, data.validation, parallel=parallel)
        self.chosen_by = TEST if data.validation is None else VALIDATION

    def finish(self, epoch: int, state: TrainState) -> tuple[TrainState, Record]:
        """Rolls back or evaluates if due, records the epoch, and saves; only states of recorded epochs are saved.

        The state is saved unless a state was saved within ``SAVE_SECONDS``; the state of the last epoch is always
        saved. A state that is saved as another kind is also saved as ``last``, so a run is never resumed from before
        it. Means over the steps that were taken in an epoch are NaN if no step was taken.
        """
        taken, batch = int(state.taken), self.experiment.batch_size
        steps = taken or math.nan
        loss, rates = float(state.loss_sum) / steps, state.learning_rates
        metrics = {name: float(total) / (steps * batch) for name, total in state.metric_sums.items()}
        state, back_to = self.roll_back.after_epoch(epoch, state, loss)
        evaluation = self.evaluation(epoch, state)
        record = {
            "step": int(state.step),
            "epoch": epoch,
            "seconds": round(self.earlier_seconds + time.perf_counter() - self.began, 3),
            **rates,
            "train/loss": loss,
            **{f"train/{name}": value for name, value in metrics.items()},
            "train/skipped": self.experiment.steps_per_epoch - taken,
            **({} if back_to is None else {WENT_BACK: back_to}),
            **evaluation,
        }
        if is_first():
            self.run.metrics.append(record)
        self.watchers.evaluation(record)  # before a checkpoint includes the epoch
        if back_to is None:
            self.roll_back.keep(state)
        kept, best = epoch in self.keeps, self.is_best(state)
        if kept:
            # Before ``last``: saves finish in order, so a run is never resumed after an epoch whose kept variables are
            # missing.
            self.checkpoints.save(KEPT, kept_state(state))
        ended = epoch == self.experiment.epochs or STOPPED in record
        if ended or kept or best or self.roll_back.limit is not None or self.save_is_due():
            self.checkpoints.save("last", state)
        if best:
            self.checkpoints.save("best", state)
        return state, record

    def save_is_due(self) -> bool:
        """Whether the last save was long ago; the clocks of several processes need not agree."""
        return agreed(self.checkpoints.seconds_since_last >= SAVE_SECONDS)

    def evaluation(self, epoch: int, state: TrainState) -> Record:
        """The measures of the splits that are due after an epoch, with the name of the split before each."""
        found = self._measures(self.chosen_by, state) if self.experiment.evaluates(epoch) else {}
        stopping = self._stopping(epoch, found)
        if epoch == self.experiment.epochs or STOPPED in stopping:
            for split in self.evaluators.keys() - {self.chosen_by}:
                found = self._measures(split, state) | found
        return found | stopping

    def _measures(self, split: str, state: TrainState) -> Record:
        return {f"{split}/{name}": value for name, value in self.evaluators[split](state.eval_variables).items()}

    def _stopping(self, epoch: int, found: Record) -> Record:
        """The entries of early stopping in the record of an epoch with these measures."""
        rule = self.experiment.early_stopping
        if rule is None or not found:
            return {}
        rule.check([name.removeprefix(f"{VALIDATION}/") for name in found])
        records = [*self.run.metrics.read(), {"epoch": epoch, **found}]
        count = {WITHOUT_IMPROVEMENT: rule.epochs_without_improvement(records)}
        return count | ({STOPPED: True} if agreed(rule.stops(records) and is_first()) else {})

    def stopped_early(self) -> bool:
        """Whether early stopping has ended the run."""
        rule = self.experiment.early_stopping
        return rule is not None and agreed(rule.stops(self.run.metrics.read()) and is_first())

    def save_if_best(self, state: TrainState) -> None:
        """Saves the state of a recorded epoch as the best one if its score is the best."""
        if self.is_best(state):
            self.checkpoints.save("best", state)

    def is_best(self, state: TrainState) -> bool:
        """Whether the score of a recorded epoch is above that of every checkpoint of the kind ``"best"``."""
        scores = {record["step"]: self.score(record) for record in self.run.metrics.read()}
        known = {step: score for step, score in scores.items() if score is not None}
        step = int(state.step)
        others = [known.get(one, float("-inf")) for one in self.checkpoints.steps("best")]
        better = step in known and known[step] > max(others, default=float("-inf"))
        return agreed(better and is_first())  # the process that writes the metrics has read them all

    def score(self, record: Record) -> float | None:
        """The value by which the best checkpoint is chosen, larger is better; None where the epoch was not evaluated.

        Raises:
            ConfigError: ``Experiment.best`` names a measure that the evaluation does not have.
        """
        prefix = f"{self.chosen_by}/"
        measures = {name.removeprefix(prefix): value for name, value in record.items() if name.startswith(prefix)}
        name = best_measure(self.experiment.best, measures)
        if name is None:
            return None
        value: Any = measures[name.removeprefix("-")]
        return -value if name.startswith("-") else value


def best_measure(best: str | None, measures: dict[str, float]) -> str | None:
    """The measure that selects the best checkpoint, with a minus if smaller is better; None if there is none.

    Raises:
        ConfigError: the named measure does not exist.

    >>> best_measure(None, {"loss": 0.1, "accuracy": 0.9}), best_measure(None, {"loss": 0.1})
    ('accuracy', '-loss')
    """
    if not measures:
        return None
    if best is None:
        return "accuracy" if "accuracy" in measures else "-loss" if "loss" in measures else None
    if best.removeprefix("-") not in measures:
        raise ConfigError(
            f"best={best!r}: the evaluation has the measures {', '.join(measures)}. Name one of them; write a minus "
            f"before it where less is better."
        )
    return best
