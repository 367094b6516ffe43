"""Calls of the functions of an experiment, with checks of the values that they return."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._hints import did_you_mean
from jaxcnn.train._experiment import Aux, Batch, Experiment, Variables

# Entries of the record of an epoch under ``train/`` in addition to the metrics of the objective.
RESERVED = {"loss", "skipped", "went_back_to"}


def prepared(experiment: Experiment, batch: Batch) -> dict[str, Any]:
    """The batch as evaluation and prediction receive it."""
    return _as_batch("prepare", _call("prepare", experiment.prepare, dict(batch), batch=batch))


def augmented(experiment: Experiment, key: jax.Array, batch: Batch) -> dict[str, Any]:
    """The prepared batch as training receives it."""
    if experiment.augment is None:
        return dict(batch)
    return _as_batch("augment", _call("augment", experiment.augment, key, dict(batch), batch=batch))


def initialized(experiment: Experiment, key: jax.Array, batch: Batch) -> dict[str, Any]:
    """The variables of ``init``.

    Raises:
        TypeError: it returned something other than a dict of collections with ``params``.
    """
    variables = _call("init", experiment.init, key, dict(batch), batch=batch)
    if not isinstance(variables, Mapping) or "params" not in variables:
        what = f"a dict with {', '.join(map(repr, variables))}" if isinstance(variables, Mapping) else _kind(variables)
        raise TypeError(
            f"init: expected a dict of collections with 'params', got {what}. "
            f"Is it model.init(key, batch['image'], train=False)?"
        )
    return dict(variables)


def loss_and_aux(
    experiment: Experiment, variables: Variables, batch: Batch, key: jax.Array
) -> tuple[jax.Array, dict[str, Any], dict[str, jax.Array]]:
    """The mean loss of ``objective`` in float32, all collections after the step, and the metrics.

    Raises:
        TypeError: the objective returned something other than ``(loss, Aux(...))``.
        ValueError: the loss is neither one number nor one number for each example; an update is of a collection that
            does not exist, or changes its tree; or a metric does not have one number for each example, or has a name
            that is reserved in records.
    """
    returned = _call("objective", experiment.objective, dict(variables), dict(batch), key, batch=batch, also=variables)
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], Aux):
        what = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else _kind(returned)
        if isinstance(returned, tuple) and len(returned) == 2:
            what = f"a tuple whose second entry is {_kind(returned[1])}"
        raise TypeError(
            f"objective: expected (loss, Aux(updates=..., metrics=...)), got {what}. "
            f"Without updates and metrics it is: return loss, train.Aux()."
        )
    loss, aux = jnp.asarray(returned[0]), returned[1]
    rows = _length(batch)
    if loss.shape not in ((), (rows,)) or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(
            f"objective: expected a loss that is one floating number or one for each of the {rows} examples, got "
            f"{loss.dtype}{list(loss.shape)}. Take the mean over the other axes."
        )
    others = {name: value for name, value in variables.items() if name != "params"}
    if not isinstance(aux.updates, Mapping):
        raise TypeError(f"objective: expected updates as a dict of collections, got {_kind(aux.updates)}.")
    for name, value in aux.updates.items():
        _check_update(name, value, others)
    metrics = per_example("objective", aux.metrics, rows)
    if reserved := sorted(RESERVED & metrics.keys()):
        raise ValueError(
            f"objective: a metric cannot be named {reserved[0]!r}, because each record has a train/{reserved[0]} "
            f"besides the metrics. Rename it."
        )
    return loss.astype(jnp.float32).mean(), {**others, **aux.updates}, metrics


def _check_update(name: str, value: Any, others: Mapping[str, Any]) -> None:
    if name == "params":
        raise ValueError("objective: updates name 'params', which the optimizer changes. Leave it out of the updates.")
    if name not in others:
        there = f"only {', '.join(map(repr, others))}" if others else "none but 'params'"
        hint = did_you_mean(name, others) if others else "Does init return it?"
        raise ValueError(f"objective: updates name the collection {name!r}, but the variables have {there}. {hint}")
    if _shapes(value) != _shapes(others[name]):
        raise ValueError(
            f"objective: the update of the collection {name!r} differs from it in its names, shapes or dtypes. "
            f"Expected the whole collection, as model.apply(..., mutable=[{name!r}]) returns it."
        )


def _shapes(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def evaluated(experiment: Experiment, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
    """The result of ``evaluate`` for a batch that is not prepared yet."""
    batch = prepared(experiment, batch)
    found = _call("evaluate", experiment.evaluate, dict(variables), dict(batch), batch=batch, also=variables)
    return per_example("evaluate", found, _length(batch))


def predicted(experiment: Experiment, variables: Variables, batch: Batch) -> Any:
    """The result of ``predict`` for a batch that is not prepared yet.

    Raises:
        ValueError: there is no ``predict``, or one of its outputs does not have an entry for each example.
    """
    if experiment.predict is None:
        raise ValueError("the experiment has no predict: give one, (variables, batch) -> outputs.")
    batch = prepared(experiment, batch)
    outputs = _call("predict", experiment.predict, dict(variables), dict(batch), batch=batch, also=variables)
    rows = _length(batch)
    for path, output in jax.tree.leaves_with_path(outputs):
        if jnp.shape(output)[:1] != (rows,):
            name = jax.tree_util.keystr(path, simple=True, separator="/") or "the output"
            raise ValueError(
                f"predict: expected outputs with one entry for each of the {rows} examples, but the shape of {name!r} "
                f"is {jnp.shape(output)}."
            )
    return outputs


def counted_classes(experiment: Experiment, variables: Variables, batch: Batch) -> int | None:
    """The result of ``count_classes`` for a batch that is not prepared yet; None where there is no such function."""
    if experiment.count_classes is None:
        return None
    batch = prepared(experiment, batch)
    return _call("count_classes", experiment.count_classes, dict(variables), dict(batch), batch=batch, also=variables)


def per_example(role: str, found: Any, rows: int) -> dict[str, jax.Array]:
    """Measures as float32 arrays ``(rows,)`` by name.

    Raises:
        TypeError: it is not a dict.
        ValueError: a measure does not have one number for each example.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"{role}: expected a dict of measures with one number for each example, got {_kind(found)}.")
    measures = {name: jnp.asarray(value) for name, value in found.items()}
    for name, value in measures.items():
        if value.shape != (rows,):
            raise ValueError(
                f"{role}: expected one number for each of the {rows} examples in {name!r}, but its shape is "
                f"{value.shape}. Take means over the axes after the first, and none over the first."
            )
    return {name: value.astype(jnp.float32) for name, value in measures.items()}


def _as_batch(role: str, batch: Any) -> dict[str, Any]:
    """The batch that a function returned.

    Raises:
        TypeError: it is not a dict.
        ValueError: its arrays differ in length.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"{role}: expected a batch, a dict of arrays, got {_kind(batch)}.")
    _length(batch, role=role)
    return dict(batch)


def _length(batch: Batch, *, role: str = "batch") -> int:
    """The number of examples.

    Raises:
        ValueError: the arrays differ in length.
    """
    lengths = {name: jnp.shape(array)[0] if jnp.ndim(array) else None for name, array in batch.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values():
        each = ", ".join(f"{name} has {'no axis' if length is None else length}" for name, length in lengths.items())
        raise ValueError(f"{role}: expected arrays with one entry for each example, all of one length, but {each}.")
    (length,) = set(lengths.values())
    assert length is not None
    return length


def _call(
    role: str, function: Callable[..., Any], *arguments: Any, batch: Batch, also: Mapping[str, Any] | None = None
) -> Any:
    """Calls a function of the experiment; the error for a missing key lists the keys that exist.

    Raises:
        ValueError: the function reads a key that a dict does not have.
    """
    try:
        return function(*arguments)
    except KeyError as error:
        key = error.args[0] if error.args else None
        if not isinstance(key, str) or key in batch:
            raise
        places = f"the batch, which has {', '.join(map(repr, batch))}"
        if also is not None:
            places += f", nor in the variables, which have {', '.join(map(repr, also))}"
        raise ValueError(f"{role}: {key!r} is not in {places}. {did_you_mean(key, [*batch, *(also or {})])}") from error


def _kind(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array {value.dtype}{list(value.shape)}"
    return "None" if value is None else f"an object of type {type(value).__name__}"
