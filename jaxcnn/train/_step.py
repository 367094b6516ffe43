"""One step of training, and one batch of evaluation, as pure functions to be compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import ALTERNATE, ORDER, STEP, TrainState, Variables, stream

# The parts of a step beside the model, as they are named in a profile.
INPUT, LOSS, UPDATE = PARTS = ("prepare_input", "compute_loss", "update_state")

# A loss scale that was halved by an overflow is tried twice as large again this often.
DOUBLE_EVERY = 2000


class StepMetrics(struct.PyTreeNode):
    """Mean loss and accuracy of one batch, before its update, and how many steps up to it were skipped in a row."""

    loss: jax.Array
    accuracy: jax.Array
    skipped_in_row: jax.Array


class Findings(struct.PyTreeNode):
    """What a batch has to say: its mean loss, the gradient of that, hits, and the batch statistics after it."""

    loss: jax.Array
    grads: Any
    correct: jax.Array
    batch_stats: Any


# (params, batch_stats, x, labels, dropout key, loss scale) -> Findings
Finder = Callable[..., Findings]


def epoch_order(experiment: Experiment, epoch: jax.Array) -> jax.Array:
    """Which images each step of an epoch reads, ``(steps_per_epoch, batch_size)``: a function of seed and epoch."""
    steps, batch = experiment.steps_per_epoch, experiment.batch_size
    count = len(experiment.dataset.train)
    order = jax.random.permutation(jax.random.fold_in(stream(experiment.seed, ORDER), epoch), count)
    return order[: steps * batch].reshape(steps, batch)


class StepKeys(NamedTuple):
    """The keys of what a step draws."""

    augment: jax.Array
    dropout: jax.Array
    mix: jax.Array


def step_keys(experiment: Experiment, step: jax.Array) -> StepKeys:
    """Functions of seed and step."""
    return StepKeys(*jax.random.split(jax.random.fold_in(stream(experiment.seed, STEP), step), 3))


@jax.named_scope(INPUT)
def model_input(
    experiment: Experiment,
    images: jax.Array,
    labels: jax.Array,
    numbers: jax.Array,
    *,
    keys: StepKeys,
    epoch: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What the model sees in training of a batch of uint8 images, and what the loss compares its logits with.

    ``numbers`` says which training images they are.
    """
    x, targets = experiment.prepare(images), labels
    if experiment.alternate is not None:
        x = experiment.alternate(stream(experiment.seed, ALTERNATE), x, numbers, epoch=epoch)
    if experiment.augment is not None:
        x = experiment.augment(keys.augment, x)
    if experiment.mix is not None:
        x, targets = experiment.mix(keys.mix, x, jax.nn.one_hot(labels, len(experiment.dataset.class_names)))
    return experiment.normalize(x), targets


def find(
    experiment: Experiment,
    params: Variables,
    batch_stats: Variables,
    x: jax.Array,
    labels: jax.Array,
    dropout_key: jax.Array,
    loss_scale: jax.Array | None,
) -> Findings:
    """Loss, gradient and new statistics of a batch that is the model's input already; labels as ``model_input``'s."""

    def mean_loss(params: Variables) -> tuple[jax.Array, tuple[jax.Array, jax.Array, Variables]]:
        logits, updated = experiment.model.apply(
            {"params": params, "batch_stats": batch_stats},
            x,
            train=experiment.train_mode,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        logits = jnp.asarray(logits, jnp.float32)  # of models in bfloat16 or float16
        with jax.named_scope(LOSS):
            loss = experiment.loss(logits, labels).mean()
        scaled = loss if loss_scale is None else loss * loss_scale
        return scaled, (loss, logits, updated.get("batch_stats", {}))

    (_, (loss, logits, stats)), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
    if loss_scale is not None:
        grads = jax.tree.map(lambda leaf: leaf / loss_scale.astype(leaf.dtype), grads)
    right = labels.argmax(-1) if labels.ndim == logits.ndim else labels
    hits = (logits.argmax(-1) == right).astype(jnp.float32)
    correct = jnp.sum(hits) / (hits.size // len(hits))  # images, those with a label for each pixel by their share
    return Findings(loss=loss, grads=grads, correct=correct, batch_stats=stats)


def train_step(
    experiment: Experiment,
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    order: jax.Array,
    *,
    finder: Finder | None = None,
    split: Callable[[jax.Array], jax.Array] = lambda rows: rows,
    accumulate: int = 1,
) -> tuple[TrainState, StepMetrics]:
    """One update of the state by the batch that ``order`` gives to its step.

    The last three arguments say how a batch is spread over devices and over time (``parallel.py``); nothing else
    here knows of devices.

    Args:
        experiment: what is trained; static.
        state: donated by the caller.
        images: all training images, uint8, on the device; of a stream those of this step's batch alone, in the order
            of its indices, ``(accumulate, batch_size // accumulate, height, width, channels)``.
        labels: their labels.
        order: the epoch's order, from ``epoch_order``.
        finder: finds loss, gradient and statistics of a batch; ``find`` unless given.
        split: places the indices of a batch, and thereby its images, on the devices.
        accumulate: in how many parts the batch is computed, one after the other.
    """
    place = state.step % order.shape[0]
    epoch = state.step // experiment.steps_per_epoch
    keys = step_keys(experiment, state.step)

    def part(batch_stats: Variables, rows: jax.Array, keys: StepKeys, index: jax.Array | int) -> Findings:
        rows = split(rows)
        place_of = index if experiment.streams else rows
        x, targets = model_input(experiment, images[place_of], labels[place_of], rows, keys=keys, epoch=epoch)
        found = (state.params, batch_stats, x, targets, keys.dropout, state.loss_scale)
        return find(experiment, *found) if finder is None else finder(*found)

    if accumulate == 1:
        found = part(state.batch_stats, order[place], keys, 0)
    else:
        found = _accumulated(part, state, order[place].reshape(accumulate, -1), keys)
    return _updated(experiment, state, found, first=place == 0)


def _accumulated(part: Callable[..., Findings], state: TrainState, rows: jax.Array, keys: StepKeys) -> Findings:
    """The findings of all parts as of one batch; each moves the batch statistics on, and draws numbers of its own."""
    parts = len(rows)

    def add(total: Findings, index: jax.Array) -> tuple[Findings, None]:
        own = StepKeys(*(jax.random.fold_in(key, index) for key in keys))
        found = part(total.batch_stats, rows[index], own, index)
        return Findings(
            loss=total.loss + found.loss / parts,
            grads=jax.tree.map(lambda old, new: old + new / parts, total.grads, found.grads),
            correct=total.correct + found.correct,
            batch_stats=found.batch_stats,
        ), None

    nothing = Findings(
        loss=jnp.zeros((), jnp.float32),
        grads=jax.tree.map(jnp.zeros_like, state.params),
        correct=jnp.zeros((), jnp.float32),
        batch_stats=state.batch_stats,
    )
    return lax.scan(add, nothing, jnp.arange(parts))[0]


@jax.named_scope(UPDATE)
def _updated(
    experiment: Experiment, state: TrainState, found: Findings, *, first: jax.Array
) -> tuple[TrainState, StepMetrics]:
    """The state after an update, or without one where something in it is not finite.

    A skipped update leaves no trace but in the counters: parameters, statistics, optimizer and average stay. Once
    ``max_skipped`` of them came in a row the state stays as it is altogether, so that whoever looks, however late,
    finds it as it was then.
    """
    updates, opt_state = experiment.optimizer.update(found.grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    finite = is_finite((found.loss, found.grads, params, found.batch_stats))
    stopped = state.skipped_in_row >= experiment.max_skipped
    began = state.replace(
        loss_sum=jnp.where(first, 0.0, state.loss_sum),
        correct=jnp.where(first, 0.0, state.correct),
        taken=jnp.where(first, 0, state.taken),
        skipped=state.skipped + 1,
        skipped_in_row=state.skipped_in_row + _counts(state.loss_scale),
    )
    moved = began.replace(
        params=params,
        batch_stats=found.batch_stats,
        opt_state=opt_state,
        loss_sum=began.loss_sum + found.loss,
        correct=began.correct + found.correct,
        taken=began.taken + 1,
        skipped=state.skipped,
        skipped_in_row=jnp.zeros_like(state.skipped_in_row),
    )
    after = _choose(finite, moved, began).replace(step=state.step + 1, loss_scale=_rescaled(state, finite))
    after = _choose(stopped, state, after)
    after = after.replace(ema_params=_averaged(experiment.ema_decay, state, after.params, finite & ~stopped))
    accuracy = found.correct / experiment.batch_size
    return after, StepMetrics(loss=found.loss, accuracy=accuracy, skipped_in_row=after.skipped_in_row)


def is_finite(tree: Any) -> jax.Array:
    """Whether no number in a tree is NaN or infinite.

    >>> bool(is_finite({"a": jnp.ones(2), "b": jnp.array([0.0, jnp.inf])}))
    False
    """
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    found = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])
    # Outside of a branch XLA would find this out anew for every array that is chosen by it: a program whose size, and
    # time to compile, grow with the square of the number of layers.
    return lax.cond(found[0], jnp.all, lambda found: found[0], found)


def _choose(condition: jax.Array, left: TrainState, right: TrainState) -> TrainState:
    return jax.tree.map(lambda yes, no: yes if yes is no else jnp.where(condition, yes, no), left, right)


def _counts(loss_scale: jax.Array | None) -> jax.Array | int:
    """1 where a skipped step is a sign of trouble; an overflow that a smaller loss scale may mend is none."""
    return 1 if loss_scale is None else (loss_scale <= 1).astype(jnp.int32)


def _rescaled(state: TrainState, finite: jax.Array) -> jax.Array | None:
    if state.loss_scale is None:
        return None
    grown = jnp.where((state.step + 1) % DOUBLE_EVERY == 0, 2.0, 1.0) * state.loss_scale
    return jnp.where(finite, grown, jnp.maximum(state.loss_scale / 2, 1.0))


def _averaged(decay: float, state: TrainState, params: Variables, taken: jax.Array) -> Variables | None:
    """The average after this step; its weight grows with the steps, so that early parameters are soon forgotten."""
    if state.ema_params is None:
        return None
    step = state.step.astype(jnp.float32)
    weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, state.ema_params, jnp.where(taken, 1.0 - weight, 0.0))


class BatchEvaluation(struct.PyTreeNode):
    """Class probabilities and cross-entropy of each label of a batch."""

    probabilities: jax.Array
    losses: jax.Array


def eval_step(logits_of: Callable[..., jax.Array]) -> Callable[..., BatchEvaluation]:
    """The function ``(variables, images, labels) -> BatchEvaluation`` of uint8 images.

    ``logits_of`` maps variables and images to logits, as ``Experiment.logits``.
    """

    def step(variables: Variables, images: jax.Array, labels: jax.Array) -> BatchEvaluation:
        logits = logits_of(variables, images)
        return BatchEvaluation(
            probabilities=jax.nn.softmax(logits),
            losses=optax.softmax_cross_entropy_with_integer_labels(logits, labels),
        )

    return step
