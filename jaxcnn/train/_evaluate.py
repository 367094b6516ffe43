"""Evaluation: every example of a split counts exactly once."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from jaxcnn.data import Split, StreamedSplit, eval_batches
from jaxcnn.train._calls import evaluated, predicted
from jaxcnn.train._devices import WHOLE, Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._feed import Feed
from jaxcnn.train._state import Variables

# Arrays that are too large to be collected over a split, and that no measure compares outputs with.
INPUTS = ("image", "video")

# The most examples of an evaluated batch, and the most numbers of those of one device: large images are evaluated a few
# at a time, since the maps of a network are many times as large as the images.
BATCH_SIZE = 500
NUMBERS = 2**23

# The result of a function for a batch, and whether each of its examples counts.
Results = list[tuple[Any, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inference:
    """The functions of evaluation and prediction, of variables and of batches that are not prepared yet.

    Attributes:
        evaluate: ``(variables, batch) -> {name: array}``, one number for each example.
        predict: ``(variables, batch) -> outputs``; None where there is none.
        summarize: ``(outputs, targets) -> {name: number}`` of a whole split, on the host; None where there is none.
    """

    evaluate: Callable[..., Mapping[str, jax.Array]]
    predict: Callable[..., Any] | None = None
    summarize: Callable[..., Mapping[str, float]] | None = None

    @staticmethod
    def of(experiment: Experiment) -> "Inference":
        """The functions of an experiment."""
        return Inference(
            evaluate=functools.partial(evaluated, experiment),
            predict=None if experiment.predict is None else functools.partial(predicted, experiment),
            summarize=experiment.summarize,
        )


class Evaluator:
    """Evaluates variables on one split; compiled once, each batch split over the devices.

    Arrays in memory are replicated on every device. A stream is read batch by batch; examples that cannot be read are
    left out.
    """

    def __init__(
        self,
        inference: Inference,
        split: Split | StreamedSplit,
        *,
        batch_size: int | None = None,
        parallel: Parallel | None = None,
    ) -> None:
        self._inference, self._split = inference, split
        self._parallel = parallel = parallel or Parallel.over(1)
        self._size = evaluation_size(split, parallel, batch_size)
        self._batches = list(eval_batches(len(split), self._size))
        self._resident = parallel.replicate(split.arrays) if isinstance(split, Split) else None
        streamed = self._resident is None
        self._measure = _program(functools.partial(_measures, inference), parallel, streamed=streamed)
        self._predict = _program(functools.partial(_outputs, inference), parallel, streamed=streamed)

    def __call__(self, variables: Variables) -> dict[str, float]:
        """The mean of each measure over the split, and the result of ``summarize`` for all outputs."""
        results = self._results(self._measure, variables)
        measures = self._collected(results, "measures")
        found = {name: float(np.mean(values, dtype=np.float64)) for name, values in measures.items()}
        if self._inference.summarize is None:
            return found
        outputs, targets = (self._collected(results, name) for name in ("outputs", "targets"))
        return found | checked_summary(self._inference.summarize(outputs, targets))

    def outputs(self, variables: Variables) -> tuple[Any, dict[str, np.ndarray]]:
        """The results of ``predict`` for the whole split, and the arrays of the split without its images.

        Raises:
            ValueError: there is no ``predict``.
        """
        if self._inference.predict is None:
            raise ValueError("the experiment has no predict, so there are no outputs: Experiment(predict=...).")
        results = self._results(self._predict, variables)
        return self._collected(results, "outputs"), self._collected(results, "targets")

    def _results(self, function: Callable[..., Any], variables: Variables) -> Results:
        """The results of the function for all batches; the padding of the last batch does not count."""
        with self._parallel.context():
            if self._resident is None:
                return self._streamed(function, variables)
            return [(function(variables, self._resident, index), mask) for index, mask in self._batches]

    def _streamed(self, function: Callable[..., Any], variables: Variables) -> Results:
        """The same for a stream; batches are read while others are computed."""
        found: list[tuple[Any, Any, np.ndarray]] = []
        split: Any = self._split
        feed = Feed(
            split,
            self._parallel,
            lambda step: self._batches[step][0],
            start=0,
            stop=len(self._batches),
            size=self._size,
            replace=False,
        )
        take_first = self._parallel.jit(lambda good: jnp.copy(good[0]))  # whole on every device
        with contextlib.closing(feed):
            for _, mask in self._batches:
                placed = feed.next([result for result, _, _ in found[-1:]])
                found.append((function(variables, placed.arrays), take_first(placed.good), mask))
        return [(result, mask & np.asarray(good)) for result, good, mask in found]

    def _collected(self, results: Results, name: str) -> Any:
        """One of the results, concatenated over the batches, without the examples that do not count."""

        def joined(*parts: jax.Array) -> np.ndarray:
            return np.concatenate([np.asarray(part)[keep] for part, (_, keep) in zip(parts, results, strict=True)])

        return jax.tree.map(joined, *[result[name] for result, _ in results])


def lowered_evaluation(experiment: Experiment, parallel: Parallel, variables: Variables) -> Any:
    """The lowered program that evaluates a batch of the test split.

    Args:
        experiment: its functions and data.
        parallel: the devices, present or only described.
        variables: shapes, types and shardings.
    """
    split = experiment.data.test
    streamed = not isinstance(split, Split)
    rows = evaluation_size(split, parallel)
    there = (1, rows) if streamed else (len(split),)
    place = PartitionSpec(None, *parallel.split) if streamed else WHOLE
    arrays = parallel.structs({name: ((*there, *shape), dtype) for name, (shape, dtype) in split.fields.items()}, place)
    index = () if streamed else tuple(parallel.structs({"index": ((rows,), np.int32)}, WHOLE).values())
    program = _program(functools.partial(_measures, Inference.of(experiment)), parallel, streamed=streamed)
    with parallel.context():
        return program.lower(variables, arrays, *index)


def evaluation_size(split: Split | StreamedSplit, parallel: Parallel, batch_size: int | None = None) -> int:
    """The number of examples of a batch, a multiple of the number of devices."""
    numbers = sum(math.prod(shape) for shape, _ in split.fields.values())
    most = batch_size or min(BATCH_SIZE, max(1, NUMBERS // max(numbers, 1)) * parallel.devices)
    return math.ceil(min(most, len(split)) / parallel.devices) * parallel.devices


def _measures(inference: Inference, variables: Variables, batch: dict[str, Any]) -> dict[str, Any]:
    measures = {"measures": inference.evaluate(variables, batch)}
    return measures if inference.summarize is None else measures | _outputs(inference, variables, batch)


def _outputs(inference: Inference, variables: Variables, batch: dict[str, Any]) -> dict[str, Any]:
    assert inference.predict is not None
    targets = {name: array for name, array in batch.items() if name not in INPUTS}
    return {"outputs": inference.predict(variables, batch), "targets": targets}


def _program(function: Callable[..., Any], parallel: Parallel, *, streamed: bool) -> Any:
    """The function of variables and a batch, compiled for arrays in memory or for a batch of a stream."""

    # The arrays are an argument: as a constant of the program they would be compiled into it.
    def of_resident(variables: Variables, arrays: dict[str, jax.Array], index: jax.Array) -> Any:
        index = parallel.constrain(index, parallel.split)
        return function(variables, {name: array[index] for name, array in arrays.items()})

    def of_streamed(variables: Variables, arrays: dict[str, jax.Array]) -> Any:
        return function(variables, {name: array[0] for name, array in arrays.items()})

    return parallel.jit(of_streamed if streamed else of_resident)


def checked_summary(found: Any) -> dict[str, float]:
    """The result of ``summarize`` as numbers.

    Raises:
        TypeError: it is not a dict of numbers.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"summarize: expected a dict of numbers by name, got an object of type {type(found).__name__}.")
    for name, value in found.items():
        if np.ndim(value) or not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
            what = f"an array of shape {np.shape(value)}" if np.ndim(value) else f"{value!r}"
            raise TypeError(
                f"summarize: expected a number for {name!r}, got {what}. Take its mean, or give each entry a name."
            )
    return {name: float(value) for name, value in found.items()}
