"""Where a batch first went wrong: the layer, the loss, a gradient or an update that is NaN or infinite."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.train._calls import loss_and_aux
from jaxcnn.train._devices import Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import STEP, TrainState, stream
from jaxcnn.train._step import gradient, optimized, train_batch

Path = tuple[str, ...]


def first_not_finite(
    experiment: Experiment,
    parallel: Parallel,
    state: TrainState,
    arrays: dict[str, jax.Array],
    order: jax.Array,
    step: int,
) -> str:
    """Runs the batch of a step again, on the current state, and describes the first value that is not finite.

    Examined in turn: the batch, parameters and other variables, the output of every module in the order in which they
    are called, the loss, the gradients from the last layer back to the first, and the parameters after the update.
    """
    place = step % order.shape[0]
    modules: list[tuple[Path, str]] = []

    def examine(state: TrainState, arrays: dict[str, jax.Array], order: jax.Array) -> dict[str, Any]:
        number = jnp.asarray(step, jnp.int32)
        rows = parallel.constrain(order[place], parallel.split)
        key = jax.random.fold_in(stream(experiment.seed, STEP), number)
        batch, key = train_batch(experiment, number, arrays, rows, None, key)
        outputs: list[jax.Array] = []
        with nn.intercept_methods(_recorder(modules, outputs)):
            loss_and_aux(experiment, state.variables, batch, key)
        found = gradient(experiment, state.params, state.collections, batch, key, None)
        after, _ = optimized(experiment, state, found)
        found_in = {"batch": batch, "held": state.variables, "loss": found.loss, "grads": found.grads, "after": after}
        return jax.tree.map(_count_not_finite, found_in) | {"outputs": outputs}

    with parallel.context():
        bad = jax.tree.map(np.asarray, parallel.jit(examine)(state, arrays, order))
    return _sentence(bad, modules)


def _recorder(modules: list[tuple[Path, str]], outputs: list[jax.Array]) -> Callable[..., Any]:
    """Records the modules in the order in which they finish, and the number of their outputs that are not finite."""

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        result = call(*args, **kwargs)
        arrays = [leaf for leaf in jax.tree.leaves(result) if isinstance(leaf, jax.Array)]
        if arrays and context.method_name != "setup":
            modules.append((context.module.path, type(context.module).__name__))
            outputs.append(jnp.sum(jnp.stack([_count_not_finite(leaf) for leaf in arrays]), 0))
        return result

    return note


def _count_not_finite(array: jax.Array) -> jax.Array:
    """The number of entries of an array that are not finite, and the number of its entries."""
    count = jnp.sum(~jnp.isfinite(array), dtype=jnp.int32) if jnp.issubdtype(array.dtype, jnp.inexact) else 0
    return jnp.stack([jnp.asarray(count, jnp.int32), jnp.asarray(array.size, jnp.int32)])


def _sentence(bad: dict[str, Any], modules: list[tuple[Path, str]]) -> str:
    def of(name: str, entry: np.ndarray) -> str:
        return f"{name}: {entry[0]:,} of {entry[1]:,} values are NaN or infinite"

    for path, entry in _leaves(bad["batch"]):
        if entry[0]:
            return of(f"{'/'.join(path)} of the batch, after prepare and augment", entry)
    for path, entry in _leaves(bad["held"]):
        if entry[0]:
            return of("/".join(path), entry)
    for (path, kind), entry in zip(modules, bad["outputs"], strict=True):
        if entry[0]:
            return of(f"the output of {'/'.join(path) or 'the model'} ({kind})", entry)
    if bad["loss"][0]:
        return "the loss, of outputs that are finite"
    done = {path: number for number, (path, _) in enumerate(modules)}
    wrong = [(path, entry) for path, entry in _leaves(bad["grads"]) if entry[0]]
    if wrong:  # the backward pass begins with the last layer
        path, entry = max(wrong, key=lambda leaf: done.get(leaf[0][:-1], -1))
        return of(f"the gradient of {'/'.join(path)}", entry)
    for path, entry in _leaves(bad["after"]):
        if entry[0]:
            return of(f"{'/'.join(path)} after the update, from a gradient that is finite", entry)
    return "nothing, when the batch was run again: the devices, or a scope of batch statistics smaller than the batch"


def _leaves(tree: Any) -> list[tuple[Path, np.ndarray]]:
    """The entries of a tree of counts with their paths."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(tuple(str(getattr(key, "key", key)) for key in path), leaf) for path, leaf in leaves]
