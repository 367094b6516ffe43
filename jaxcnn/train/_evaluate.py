"""Evaluation: every label, of an image or of a pixel, counts exactly once."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._reprs import short_repr
from jaxcnn.data import Split, StreamedSplit, eval_batches
from jaxcnn.train._devices import Parallel
from jaxcnn.train._feed import Feed
from jaxcnn.train._state import Variables
from jaxcnn.train._step import BatchEvaluation, eval_step


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

    __repr__ = short_repr

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


class Seen(NamedTuple):
    """What comes of a batch; with its labels, which of a stream nobody else knows, and which images could be read."""

    result: BatchEvaluation
    labels: jax.Array
    good: jax.Array


class HasLogits(Protocol):
    """An experiment, or a recorded model."""

    @property
    def logits(self) -> Callable[[Variables, jax.Array], jax.Array]:
        """The function from variables and uint8 images to logits."""


class Evaluator:
    """Evaluates variables on one split; compiled once, each batch split over the devices.

    Images in memory lie on every device; those of a stream come batch by batch, and what cannot be read is left out.
    """

    def __init__(
        self,
        model: HasLogits,
        split: Split | StreamedSplit,
        *,
        batch_size: int = 500,
        parallel: Parallel | None = None,
    ) -> None:
        self._parallel = parallel = parallel or Parallel.over(1)
        self._size = math.ceil(min(batch_size, len(split)) / parallel.devices) * parallel.devices
        self._batches = list(eval_batches(len(split), self._size))
        self._streamed = split if isinstance(split, StreamedSplit) else None
        self._resident = () if isinstance(split, StreamedSplit) else parallel.replicate((split.images, split.labels))
        step = eval_step(model.logits)

        # The images are an argument: as a constant of the program they would be compiled into it.
        def evaluate(variables: Variables, images: jax.Array, labels: jax.Array, index: jax.Array) -> Seen:
            index = parallel.constrain(index, parallel.split)
            return Seen(step(variables, images[index], labels[index]), labels[index], jnp.ones(len(index), bool))

        def evaluate_batch(variables: Variables, images: jax.Array, labels: jax.Array, good: jax.Array) -> Seen:
            return Seen(step(variables, images[0], labels[0]), labels[0], good[0])

        self._step = parallel.jit(evaluate if self._streamed is None else evaluate_batch)

    def __call__(self, variables: Variables) -> Evaluation:
        """Evaluates; the padding of the last batch is dropped by its mask."""
        with self._parallel.context():
            if self._streamed is None:
                results = [self._step(variables, *self._resident, index) for index, _ in self._batches]
            else:
                results = self._stream(self._streamed, variables)
        masks = [mask for _, mask in self._batches]
        keep = np.concatenate([mask & np.asarray(seen.good) for mask, seen in zip(masks, results, strict=True)])
        return Evaluation(
            labels=np.concatenate([np.asarray(seen.labels) for seen in results])[keep],
            probabilities=np.concatenate([np.asarray(seen.result.probabilities) for seen in results])[keep],
            losses=np.concatenate([np.asarray(seen.result.losses) for seen in results])[keep],
        )

    def _stream(self, split: StreamedSplit, variables: Variables) -> list[Seen]:
        """What comes of all batches, read while others are computed."""
        results: list[Seen] = []
        feed = Feed(
            split,
            self._parallel,
            lambda step: self._batches[step][0],
            start=0,
            stop=len(self._batches),
            size=self._size,
            replace=False,
        )
        with contextlib.closing(feed):
            for _ in self._batches:
                results.append(self._step(variables, *feed.next(results[-1:])))
        return results
