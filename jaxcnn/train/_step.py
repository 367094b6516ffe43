"""One step of training, from the indices of a batch to the new state, to be read from top to bottom.

Nothing here depends on devices: ``train_step`` gets a function ``spread``, which may compute ``gradient`` in parts on
several devices (``_devices.py``).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax

from jaxcnn.train._calls import augmented, loss_and_aux, prepared
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import ORDER, STEP, TrainState, Variables, stream

# The parts of a step other than the layers, by their names in a profile; the second one is in the losses of tasks.
INPUT, LOSS, UPDATE = PARTS = ("prepare_input", "compute_loss", "update_state")

# The interval in steps at which a loss scale that an overflow has halved is doubled again.
DOUBLE_EVERY = 2000


class StepMetrics(struct.PyTreeNode):
    """Mean loss and metrics of one batch, before its update, and the number of skipped steps in a row up to it."""

    loss: jax.Array
    metrics: dict[str, jax.Array]
    skipped_in_row: jax.Array


class Gradient(struct.PyTreeNode):
    """The results of a batch: mean loss, its gradient, the updated other collections, and the sums of the metrics."""

    loss: jax.Array
    grads: Any
    collections: Variables
    metrics: dict[str, jax.Array]


# (params, collections, batch, key, loss scale) -> Gradient
GradientFunction = Callable[..., Gradient]


def epoch_order(experiment: Experiment, epoch: jax.Array) -> jax.Array:
    """The examples that each step of an epoch reads, ``(steps_per_epoch, batch_size)``: by seed and epoch."""
    steps, batch = experiment.steps_per_epoch, experiment.batch_size
    count = len(experiment.data.train)
    key = jax.random.fold_in(stream(experiment.seed, ORDER), epoch)
    if experiment.sample_weights is None:
        return jax.random.permutation(key, count)[: steps * batch].reshape(steps, batch)
    weights = np.asarray(experiment.sample_weights, np.float64)
    return jax.random.choice(key, count, (steps, batch), p=jnp.asarray(weights / weights.sum(), jnp.float32))


def train_step(
    experiment: Experiment,
    state: TrainState,
    arrays: dict[str, jax.Array],
    order: jax.Array,
    *,
    accumulate: int = 1,
    split: Callable[[jax.Array], jax.Array] = lambda rows: rows,
    spread: Callable[[GradientFunction], GradientFunction] = lambda function: function,
) -> tuple[TrainState, StepMetrics]:
    """One update of the state by the batch that ``order`` gives to its step.

    Args:
        experiment: what is trained; static.
        state: donated by the caller.
        arrays: the whole training split; or of a stream the batch of this step alone, in the order of its indices,
            ``(accumulate, batch_size // accumulate, ...)``.
        order: the epoch's order, from ``epoch_order``.
        accumulate: the number of parts in which the batch is computed, one after the other.
        split: places the indices of a batch, and thereby its examples, on the devices.
        spread: the function that computes ``gradient`` on the devices.
    """
    place = state.step % order.shape[0]

    def gradient_of(params: Any, collections: Variables, batch: Any, key: jax.Array, scale: Any) -> Gradient:
        return gradient(experiment, params, collections, batch, key, scale)

    def of_part(collections: Variables, rows: jax.Array, part: jax.Array | int, key: jax.Array) -> Gradient:
        batch, key = train_batch(experiment, state.step, arrays, split(rows), part, key)
        return spread(gradient_of)(state.params, collections, batch, key, state.loss_scale)

    key = jax.random.fold_in(stream(experiment.seed, STEP), state.step)
    if accumulate == 1:
        found = of_part(state.collections, order[place], 0, key)
    else:
        found = _accumulated(of_part, state, order[place].reshape(accumulate, -1), key)
    with jax.named_scope(UPDATE):
        return updated(experiment, state, found, first=place == 0)


@jax.named_scope(INPUT)
def train_batch(
    experiment: Experiment,
    step: jax.Array,
    arrays: dict[str, jax.Array],
    rows: jax.Array,
    part: jax.Array | int | None,
    key: jax.Array,
) -> tuple[dict[str, Any], jax.Array]:
    """The batch that the objective receives, and its random key.

    ``part`` is the number of a part of the step's batch, since each part draws its own random numbers; None is the
    whole batch.
    """
    if experiment.streams:
        whole = {name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()}
        batch = whole if part is None else {name: array[part] for name, array in arrays.items()}
    else:
        batch = {name: array[rows] for name, array in arrays.items()}
    batch = prepared(experiment, batch)
    epoch = jnp.full(rows.shape, step // experiment.steps_per_epoch, jnp.int32)
    augment_key, objective_key = jax.random.split(key)
    batch = augmented(experiment, augment_key, {**batch, "index": rows, "epoch": epoch})
    return batch, objective_key


def gradient(
    experiment: Experiment,
    params: Any,
    collections: Variables,
    batch: dict[str, Any],
    key: jax.Array,
    loss_scale: jax.Array | None,
) -> Gradient:
    """The gradient of the objective's mean loss over a batch, with respect to the parameters."""

    def scaled_loss(params: Any) -> tuple[jax.Array, Any]:
        loss, after, metrics = loss_and_aux(experiment, {"params": params, **collections}, batch, key)
        return loss if loss_scale is None else loss * loss_scale, (loss, after, metrics)

    (_, (loss, after, metrics)), grads = jax.value_and_grad(scaled_loss, has_aux=True)(params)
    if loss_scale is not None:
        grads = jax.tree.map(lambda leaf: leaf / loss_scale.astype(leaf.dtype), grads)
    sums = {name: jnp.sum(values) for name, values in metrics.items()}
    return Gradient(loss=loss, grads=grads, collections=after, metrics=sums)


def _accumulated(of_part: Callable[..., Gradient], state: TrainState, rows: jax.Array, key: jax.Array) -> Gradient:
    """The gradient of all parts as of one batch; the parts update the collections one after the other."""
    parts = len(rows)

    def add(total: Gradient, part: jax.Array) -> tuple[Gradient, None]:
        found = of_part(total.collections, rows[part], part, jax.random.fold_in(key, part))
        return Gradient(
            loss=total.loss + found.loss / parts,
            grads=jax.tree.map(lambda old, new: old + new / parts, total.grads, found.grads),
            collections=found.collections,
            metrics=jax.tree.map(jnp.add, total.metrics, found.metrics),
        ), None

    nothing = Gradient(
        loss=jnp.zeros((), jnp.float32),
        grads=jax.tree.map(jnp.zeros_like, state.params),
        collections=state.collections,
        metrics=jax.tree.map(jnp.zeros_like, state.metric_sums),
    )
    return lax.scan(add, nothing, jnp.arange(parts))[0]


def updated(
    experiment: Experiment, state: TrainState, found: Gradient, *, first: jax.Array
) -> tuple[TrainState, StepMetrics]:
    """The state after an update, or without one where something in it is not finite.

    A skipped update changes only the counters: variables, optimizer state and average stay the same. After
    ``max_skipped`` skipped updates in a row the whole state stays the same, so that it can be examined later.
    """
    params, opt_state = optimized(experiment, state, found)
    finite = is_finite((found.loss, found.grads, params, found.collections))
    stopped = state.skipped_in_row >= experiment.max_skipped
    began = state.replace(
        loss_sum=jnp.where(first, 0.0, state.loss_sum),
        metric_sums=jax.tree.map(lambda total: jnp.where(first, 0.0, total), state.metric_sums),
        taken=jnp.where(first, 0, state.taken),
        skipped=state.skipped + 1,
        skipped_in_row=state.skipped_in_row + _counts(state.loss_scale),
    )
    moved = began.replace(
        params=params,
        collections=found.collections,
        opt_state=opt_state,
        loss_sum=began.loss_sum + found.loss,
        metric_sums=jax.tree.map(jnp.add, began.metric_sums, found.metrics),
        taken=began.taken + 1,
        skipped=state.skipped,
        skipped_in_row=jnp.zeros_like(state.skipped_in_row),
    )
    after = _choose(finite, moved, began).replace(step=state.step + 1, loss_scale=_rescaled(state, finite))
    after = _choose(stopped, state, after)
    after = after.replace(ema_params=_averaged(experiment.ema_decay, state, after.params, finite & ~stopped))
    means = {name: total / experiment.batch_size for name, total in found.metrics.items()}
    return after, StepMetrics(loss=found.loss, metrics=means, skipped_in_row=after.skipped_in_row)


def optimized(experiment: Experiment, state: TrainState, found: Gradient) -> tuple[Any, optax.OptState]:
    """Parameters and the optimizer's state after the update; an optimizer that requires the loss gets it."""
    optimizer = optax.with_extra_args_support(experiment.optimizer)
    updates, opt_state = optimizer.update(found.grads, state.opt_state, state.params, value=found.loss)
    return optax.apply_updates(state.params, updates), opt_state


def is_finite(tree: Any) -> jax.Array:
    """Whether no number in a tree is NaN or infinite.

    >>> bool(is_finite({"a": jnp.ones(2), "b": jnp.array([0.0, jnp.inf])}))
    False
    """
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    found = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])
    # Outside of a branch, XLA would compute this again for every array that is selected by it: the size of the program,
    # and the time to compile it, would grow with the square of the number of layers.
    return lax.cond(found[0], jnp.all, lambda found: found[0], found)


def _choose(condition: jax.Array, left: TrainState, right: TrainState) -> TrainState:
    return jax.tree.map(lambda yes, no: yes if yes is no else jnp.where(condition, yes, no), left, right)


def _counts(loss_scale: jax.Array | None) -> jax.Array | int:
    """1 if a skipped step counts towards the limit; 0 for an overflow that a smaller loss scale may prevent."""
    return 1 if loss_scale is None else (loss_scale <= 1).astype(jnp.int32)


def _rescaled(state: TrainState, finite: jax.Array) -> jax.Array | None:
    if state.loss_scale is None:
        return None
    grown = jnp.where((state.step + 1) % DOUBLE_EVERY == 0, 2.0, 1.0) * state.loss_scale
    return jnp.where(finite, grown, jnp.maximum(state.loss_scale / 2, 1.0))


def _averaged(decay: float, state: TrainState, params: Any, taken: jax.Array) -> Any:
    """The average after this step; its weight grows with the steps, so that early parameters are soon forgotten."""
    if state.ema_params is None:
        return None
    step = state.step.astype(jnp.float32)
    weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, state.ema_params, jnp.where(taken, 1.0 - weight, 0.0))
