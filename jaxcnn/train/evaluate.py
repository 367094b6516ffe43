"""Evaluation: every label, of an image or of a pixel, counts exactly once."""

import dataclasses
import math

import jax
import numpy as np

from jaxcnn.data.arrays import Split
from jaxcnn.data.batches import eval_batches
from jaxcnn.train.experiment import Experiment
from jaxcnn.train.parallel import Parallel
from jaxcnn.train.state import Variables
from jaxcnn.train.step import BatchEvaluation, eval_step


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model makes of a split: class probabilities and cross-entropy of every label, in order.

    Attributes:
        labels: ``(n,)``, or ``(n, height, width)`` where every pixel has one.
        probabilities: of the classes, ``(*labels.shape, classes)``.
        losses: shaped as the labels.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class for every label."""
        return self.probabilities.argmax(-1)

    @property
    def accuracy(self) -> float:
        """Fraction of labels that are the most probable class."""
        return float(np.mean(self.predictions == self.labels))

    @property
    def mean_iou(self) -> float:
        """Intersection over union of what has a class and what is taken for it, averaged over the classes.

        Classes that neither labels nor predictions have are left out. Source: Everingham et al. (2010), "The Pascal
        visual object classes challenge", section 4.1.3; counted over all images together.
        """
        labels, predictions = self.labels.ravel(), self.predictions.ravel()
        classes = self.probabilities.shape[-1]
        both = np.bincount(labels[labels == predictions], minlength=classes)
        either = np.bincount(labels, minlength=classes) + np.bincount(predictions, minlength=classes) - both
        return float(np.mean(both[either > 0] / either[either > 0]))

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of a split by their names in ``metrics.jsonl``; of pixels also the mean IoU."""
        figures = {"loss": self.loss, "accuracy": self.accuracy}
        return figures | ({"mean_iou": self.mean_iou} if self.labels.ndim > 1 else {})

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, without label smoothing, summed in float64."""
        return float(np.mean(self.losses, dtype=np.float64))


class Evaluator:
    """Evaluates variables on one split; compiled once, images resident on the devices, each batch split over them."""

    def __init__(
        self, experiment: Experiment, split: Split, *, batch_size: int = 500, parallel: Parallel | None = None
    ) -> None:
        self._split = split
        self._parallel = parallel = parallel or Parallel.over(1)
        even = math.ceil(min(batch_size, len(split.labels)) / parallel.devices) * parallel.devices
        self._batches = list(eval_batches(len(split.labels), even))
        self._images, self._labels = parallel.replicate((split.images, split.labels))
        step = eval_step(experiment)

        # The images are an argument: as a constant of the program they would be compiled into it.
        def evaluate(variables: Variables, images: jax.Array, labels: jax.Array, index: jax.Array) -> BatchEvaluation:
            index = parallel.constrain(index, parallel.split)
            return step(variables, images[index], labels[index])

        self._step = parallel.jit(evaluate)

    def __call__(self, variables: Variables) -> Evaluation:
        """Evaluates; the padding of the last batch is dropped by its mask."""
        with self._parallel.context():
            results = [self._step(variables, self._images, self._labels, index) for index, _ in self._batches]
        keep = np.concatenate([mask for _, mask in self._batches])
        return Evaluation(
            labels=self._split.labels,
            probabilities=np.concatenate([np.asarray(result.probabilities) for result in results])[keep],
            losses=np.concatenate([np.asarray(result.losses) for result in results])[keep],
        )
