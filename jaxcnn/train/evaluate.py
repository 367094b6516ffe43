"""Evaluation: every example counts exactly once."""

import dataclasses

import jax
import numpy as np

from jaxcnn.data.arrays import Split
from jaxcnn.data.batches import eval_batches
from jaxcnn.train.experiment import Experiment
from jaxcnn.train.state import Variables
from jaxcnn.train.step import eval_step


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model makes of a split: class probabilities and cross-entropy of every example, in order."""

    labels: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class of every example."""
        return self.probabilities.argmax(-1)

    @property
    def accuracy(self) -> float:
        """Fraction of examples whose most probable class is their label."""
        return float(np.mean(self.predictions == self.labels))

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, without label smoothing, summed in float64."""
        return float(np.mean(self.losses, dtype=np.float64))


class Evaluator:
    """Evaluates variables on one split; compiled once, images resident on the device."""

    def __init__(self, experiment: Experiment, split: Split, *, batch_size: int = 500) -> None:
        self._split = split
        self._batches = list(eval_batches(len(split.labels), min(batch_size, len(split.labels))))
        self._images, self._labels = jax.device_put((split.images, split.labels))
        step = eval_step(experiment)
        # The images are an argument: as a constant of the program they would be compiled into it.
        self._step = jax.jit(lambda variables, images, labels, index: step(variables, images[index], labels[index]))

    def __call__(self, variables: Variables) -> Evaluation:
        """Evaluates; the padding of the last batch is dropped by its mask."""
        results = [self._step(variables, self._images, self._labels, index) for index, _ in self._batches]
        keep = np.concatenate([mask for _, mask in self._batches])
        return Evaluation(
            labels=self._split.labels,
            probabilities=np.concatenate([np.asarray(result.probabilities) for result in results])[keep],
            losses=np.concatenate([np.asarray(result.losses) for result in results])[keep],
        )
