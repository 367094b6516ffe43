"""One step of training, and one batch of evaluation, as pure functions to be compiled."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxcnn.train.experiment import Experiment
from jaxcnn.train.state import ORDER, STEP, TrainState, Variables, stream


class StepMetrics(struct.PyTreeNode):
    """Mean loss and accuracy of one batch, before its update."""

    loss: jax.Array
    accuracy: jax.Array


def epoch_order(experiment: Experiment, epoch: jax.Array) -> jax.Array:
    """Which images each step of an epoch reads, ``(steps_per_epoch, batch_size)``: a function of seed and epoch."""
    steps, batch = experiment.steps_per_epoch, experiment.batch_size
    count = len(experiment.dataset.train.labels)
    order = jax.random.permutation(jax.random.fold_in(stream(experiment.seed, ORDER), epoch), count)
    return order[: steps * batch].reshape(steps, batch)


def train_step(
    experiment: Experiment, state: TrainState, images: jax.Array, labels: jax.Array, order: jax.Array
) -> tuple[TrainState, StepMetrics]:
    """One update of the state by the batch that ``order`` gives to its step.

    Args:
        experiment: what is trained; static.
        state: donated by the caller.
        images: all training images, uint8, on the device.
        labels: their labels.
        order: the epoch's order, from ``epoch_order``.
    """
    place = state.step % order.shape[0]
    chosen = order[place]
    batch_labels = labels[chosen]
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(stream(experiment.seed, STEP), state.step))
    x = experiment.prepare(images[chosen])
    if experiment.augment is not None:
        x = experiment.augment(augment_key, x)
    x = experiment.normalize(x)

    def mean_loss(params: Variables) -> tuple[jax.Array, tuple[jax.Array, Variables]]:
        logits, updated = experiment.model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            x,
            train=experiment.train_mode,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        return experiment.loss(logits, batch_labels).mean(), (logits, updated.get("batch_stats", {}))

    (loss, (logits, batch_stats)), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    updates, opt_state = experiment.optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    correct = jnp.sum(logits.argmax(-1) == batch_labels, dtype=jnp.int32)
    first = place == 0
    new_state = TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        ema_params=_averaged(experiment.ema_decay, state, params),
        loss_sum=jnp.where(first, 0.0, state.loss_sum) + loss,
        correct=jnp.where(first, 0, state.correct) + correct,
    )
    return new_state, StepMetrics(loss=loss, accuracy=correct / experiment.batch_size)


def _averaged(decay: float, state: TrainState, params: Variables) -> Variables | None:
    """The average after this step; its weight grows with the steps, so that early parameters are soon forgotten."""
    if state.ema_params is None:
        return None
    step = state.step.astype(jnp.float32)
    weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, state.ema_params, 1.0 - weight)


class BatchEvaluation(struct.PyTreeNode):
    """Class probabilities and cross-entropy of each example of a batch."""

    probabilities: jax.Array
    losses: jax.Array


def eval_step(experiment: Experiment) -> Callable[..., BatchEvaluation]:
    """The function ``(variables, images, labels) -> BatchEvaluation`` of uint8 images, without augmentation."""

    def step(variables: Variables, images: jax.Array, labels: jax.Array) -> BatchEvaluation:
        logits = experiment.logits(variables, images)
        return BatchEvaluation(
            probabilities=jax.nn.softmax(logits),
            losses=optax.softmax_cross_entropy_with_integer_labels(logits, labels),
        )

    return step
