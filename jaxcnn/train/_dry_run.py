"""An experiment checked in a second, without arithmetic: shapes and types are traced from images to metrics."""

import functools

import jax
import jax.numpy as jnp

from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import TrainState, abstract_state
from jaxcnn.train._step import epoch_order, eval_step, train_step


def dry_run(experiment: Experiment) -> TrainState:
    """Traces initialisation, a step and an evaluation; gives the state's shapes and types.

    Raises:
        ValueError: whatever the model or a function of the experiment refuses, such as an image size; or a step
            whose state is not of the shapes and types that it was given.
    """
    dataset = experiment.dataset
    by_pixel = dataset.image_shape[:2] if dataset.train.by_pixel else ()
    there = (1, experiment.batch_size) if experiment.streams else (len(dataset.train),)
    images = jax.ShapeDtypeStruct((*there, *dataset.image_shape), jnp.uint8)
    labels = jax.ShapeDtypeStruct((*there, *by_pixel), jnp.int32)
    state = abstract_state(experiment)
    batch = jax.ShapeDtypeStruct((2, *dataset.image_shape), jnp.uint8)
    wanted = (2, *by_pixel, len(dataset.class_names))
    logits = jax.eval_shape(experiment.logits, state.eval_variables, batch)
    if logits.shape != wanted:
        raise ValueError(
            f"the model gives logits of shape {logits.shape} for 2 images, but {dataset.name} has "
            f"{wanted[-1]} classes, so {wanted} is wanted. Give the model num_classes={wanted[-1]}."
        )
    order = jax.eval_shape(lambda: epoch_order(experiment, jnp.int32(0)))
    after, _ = jax.eval_shape(functools.partial(train_step, experiment), state, images, labels, order)
    if jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) != jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    ):
        raise ValueError("a training step changes the shapes or types of the state; does the optimizer keep its own?")
    jax.eval_shape(
        eval_step(experiment.logits), state.eval_variables, batch, jax.ShapeDtypeStruct(wanted[:-1], jnp.int32)
    )
    return state
