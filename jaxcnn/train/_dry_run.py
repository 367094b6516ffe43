"""An experiment checked in a second, without arithmetic: shapes and types are traced from batches to metrics."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.train._calls import counted_classes, evaluated, predicted
from jaxcnn.train._checkpoints import named_leaves
from jaxcnn.train._epochs import best_measure
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import TrainState, abstract_state
from jaxcnn.train._step import epoch_order, train_step


def dry_run(experiment: Experiment) -> TrainState:
    """Traces initialisation, a step, an evaluation and a prediction; gives the state's shapes and types.

    Raises:
        ValueError: a function of the experiment refuses its input, such as images of a wrong size; or a step changes
            the shapes or types of the state.
        TypeError: a function of the experiment returned a value of another type.

    >>> import optax
    >>> from jaxcnn import data, models, train
    >>> experiment = train.Experiment(
    ...     **train.classification(models.create("lenet5", num_classes=10)),
    ...     data=data.load("digits"), optimizer=optax.sgd(0.1), epochs=1, batch_size=64,
    ... )
    >>> dry_run(experiment).params["output"]["kernel"].shape
    (84, 10)
    """
    data = experiment.data
    there = (1, experiment.batch_size) if experiment.streams else (len(data.train),)
    arrays = _structs(experiment, there)
    state = abstract_state(experiment)
    order = jax.eval_shape(lambda: epoch_order(experiment, jnp.int32(0)))
    after, _ = jax.eval_shape(functools.partial(train_step, experiment), state, arrays, order)
    if changed := _changed(state, after):
        raise ValueError(
            f"a training step changes the shape or dtype of {changed[0]} in the state. Does the optimizer compute in "
            f"other dtypes than the parameters have?"
        )
    batch = _structs(experiment, (2,))
    measures = jax.eval_shape(functools.partial(evaluated, experiment), state.eval_variables, batch)
    best_measure(experiment.best, dict.fromkeys(measures, 0.0) if experiment.summarize is None else {})
    if experiment.early_stopping is not None and experiment.summarize is None:
        experiment.early_stopping.check(measures)
    if experiment.predict is not None:
        outputs = jax.eval_shape(functools.partial(predicted, experiment), state.eval_variables, batch)
        _check_classes(experiment, state.eval_variables, batch, outputs)
    return state


def _structs(experiment: Experiment, rows: tuple[int, ...]) -> dict[str, Any]:
    fields = experiment.data.train.fields
    return {name: jax.ShapeDtypeStruct((*rows, *shape), dtype) for name, (shape, dtype) in fields.items()}


def _changed(before: Any, after: Any) -> list[str]:
    def described(tree: Any) -> dict[str, Any]:
        return {path: (leaf.shape, leaf.dtype) for path, leaf in named_leaves(tree).items()}

    left, right = described(before), described(after)
    return [name for name in dict.fromkeys([*left, *right]) if left.get(name) != right.get(name)]


def _check_classes(experiment: Experiment, variables: Any, batch: Any, outputs: Any) -> None:
    """Refuses a model with another number of classes than the data set has.

    Raises:
        ValueError: the numbers differ; the message has both.
    """
    names = experiment.data.class_names
    if not names:
        return
    if isinstance(outputs, dict) and "probabilities" in outputs:
        count, what = outputs["probabilities"].shape[-1], "predict gives probabilities of"
    else:
        counts: list[int | None] = []
        jax.eval_shape(lambda *of: counts.append(counted_classes(experiment, *of)), variables, batch)
        count, what = counts[0], "the model distinguishes"
    if count is not None and count != len(names):
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ValueError(
            f"{what} {count} classes, but {experiment.data.name} has {len(names)} classes: {shown}. Give the model "
            f"num_classes={len(names)}."
        )
