"""The programs of an experiment for devices that need not exist: lowered from shapes alone."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.data import StreamedDataset, StreamedSplit
from jaxcnn.train._devices import WHOLE, Parallel, lowered_step
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._evaluate import lowered_evaluation
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._feed import input_structs
from jaxcnn.train._state import abstract_state
from jaxcnn.train._step import epoch_order


def lower_step(experiment: Experiment, parallel: Parallel) -> Any:
    """The training step as ``jax.stages.Lowered``.

    Raises:
        ConfigError: the batch cannot be split evenly.
    """
    parallel.check(experiment.batch_size)
    state = parallel.template(abstract_state(experiment))
    found = jax.eval_shape(lambda: epoch_order(experiment, jnp.int32(0)))
    order = parallel.structs({"order": (found.shape, found.dtype)}, WHOLE)["order"]
    with parallel.context():
        return lowered_step(experiment, parallel, state, input_structs(experiment, parallel), order)


def lower_evaluation(experiment: Experiment, parallel: Parallel) -> Any:
    """The evaluation of one batch of the test split as ``jax.stages.Lowered``."""
    return lowered_evaluation(experiment, parallel, parallel.template(abstract_state(experiment)).eval_variables)


def split_sizes(experiment: Experiment, parallel: Parallel) -> set[int]:
    """The numbers of elements of the parameters that are split over the devices."""
    params = parallel.template(abstract_state(experiment)).params
    return {leaf.size for leaf in jax.tree.leaves(params) if leaf.sharding.spec != WHOLE}


def with_batch_size(experiment: Experiment, batch_size: int, *, streamed: bool = False) -> Experiment:
    """The experiment with another batch size.

    Args:
        experiment: with any data.
        batch_size: of a step.
        streamed: whether to compile as if the data were a stream, whose batch is the argument of a step; the examples
            cannot be read.

    Raises:
        ConfigError: the training split is in memory and has fewer examples.
    """
    data = experiment.data
    if streamed:
        train, test = (
            StreamedSplit(_Described(max(len(split), batch_size)), fields=split.fields)
            for split in (data.train, data.test)
        )
        data = StreamedDataset(name=data.name, train=train, test=test, class_names=data.class_names, fingerprint="")
    elif batch_size > len(data.train) and not experiment.streams:
        raise ConfigError(
            f"a batch of {batch_size} examples does not fit the {len(data.train)} examples of {data.name}; take a "
            f"smaller one, or compile the step of a stream with --streamed."
        )
    # The weights determine which examples a step reads, and are not part of its program.
    return dataclasses.replace(experiment, data=data, batch_size=batch_size, sample_weights=None)


class _Described:
    """A source that has a number of examples but cannot read them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name_of(self, index: int) -> str:
        return f"example {index}"

    def read(self, index: int) -> dict[str, Any]:
        raise ValueError("these examples are only described.")
