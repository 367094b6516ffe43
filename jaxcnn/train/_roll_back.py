"""Going back where an epoch's loss jumped: its updates are undone, and its images are skipped.

In runs of large networks the loss occasionally jumps at a few batches that do no harm in another state. Chowdhery et
al. (2022, "PaLM", section 5.1) restarted by hand from a checkpoint before the jump and skipped the batches around it.
Here the state of the last epoch without a jump replaces the current state, but the step counter is not reset. So the
order of the images, a function of the step, is that of the next epoch, and a run that is killed in between repeats the
same steps.
"""

from jaxcnn.train._checkpoints import KINDS, Checkpoints, restore, saved
from jaxcnn.train._distributed import agreed, is_first
from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports import log
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import TrainState

# The kind of the checkpoint to go back to, and the entry of an epoch's record with the step that a run went back to.
CALM, WENT_BACK = "calm", "train/went_back_to"
IN_ROW = 3


def kinds(experiment: Experiment) -> tuple[str, ...]:
    """The checkpoints that a run keeps."""
    return KINDS if experiment.max_loss_jump is None else (*KINDS, CALM)


class RollBack:
    """Decides at the end of each epoch whether its state is to be kept."""

    def __init__(self, experiment: Experiment, run: RunFolder, checkpoints: Checkpoints) -> None:
        self.limit, self.run, self.checkpoints = experiment.max_loss_jump, run, checkpoints

    def after_epoch(self, epoch: int, state: TrainState, loss: float) -> tuple[TrainState, int | None]:
        """The state to continue from, and the step that it goes back to; None if the loss did not jump.

        Raises:
            RunError: the loss jumped in several epochs one after the other, or the checkpoint to go back to is damaged.
        """
        if self.limit is None:
            return state, None
        records = self.run.metrics.read()
        calm = [record for record in records if WENT_BACK not in record]
        jumped = bool(calm) and loss > self.limit * calm[-1]["train/loss"]
        if not agreed(jumped and is_first()):  # the first process writes the metrics and has read them all
            return state, None
        said = f"epoch {epoch}: the training loss was {loss:.4g}"
        if calm:
            said += f", after {calm[-1]['train/loss']:.4g} in epoch {calm[-1]['epoch']}"
        if agreed(jumped and is_first() and len(records) - records.index(calm[-1]) >= IN_ROW):
            raise RunError(
                f"{said}: it jumped in {IN_ROW} epochs one after the other, each time from the same state and with "
                f"other images. Try a smaller learning rate, or a max_loss_jump above {self.limit:g}."
            )
        back = self._calm_state(state)
        if back is None:
            log.warning("%s, but no checkpoint from before is left; training continues without a roll-back", said)
            return state, None
        step = int(back.step)
        log.warning("%s; its updates are undone, training goes on from the state of step %d", said, step)
        counters = ("step", "loss_sum", "metric_sums", "taken", "skipped", "skipped_in_row")
        return back.replace(**{name: getattr(state, name) for name in counters}), step

    def keep(self, state: TrainState) -> None:
        """Saves the state of an epoch without a jump."""
        if self.limit is not None:
            self.checkpoints.save(CALM, state)

    def _calm_state(self, state: TrainState) -> TrainState | None:
        self.checkpoints.settle(CALM)
        return restore(self.run.checkpoints, CALM, state) if saved(self.run.checkpoints, [CALM]) else None
