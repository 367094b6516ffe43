"""The time until a model's first training step has run: tracing, lowering, compiling and the first run."""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn._errors import ShapeError
from jaxcnn.bench._program import random_array
from jaxcnn.bench._steps import OPTIMIZER, State, initial_state
from jaxcnn.models import create, info

PHASES = ("trace", "lower", "compile", "first_step", "second_step")


def compile_times(name: str, *, batch: int | None = None) -> dict[str, Any]:
    """Seconds of each phase of a model's first training step, at the input size of its paper.

    The step is loss, gradients and an update by SGD with momentum, with donated state. ``trace`` creates the jaxpr,
    ``lower`` translates it for XLA, ``compile`` is XLA's compilation, all without caches. ``first_step`` is the first
    run of the compiled program; ``second_step`` shows how much of it is computation.

    Args:
        name: of a model.
        batch: number of images; by default 1, or 2 for a model that cannot be trained on one image.

    Raises:
        ValueError: an unknown model, one that gives boxes instead of logits, or ``batch`` below 1.
        TypeError: ``name`` is not a string.

    >>> found = compile_times("lenet5")
    >>> found["input"], sorted(found["seconds"]) == sorted(PHASES)
    ([1, 32, 32, 1], True)
    """
    if batch is not None and batch < 1:
        raise ValueError(f"batch={batch} must be at least 1.")
    model, about = create(name), info(name)
    if about.task != "logits":
        raise ValueError(f"{name} gives no logits, and the step that is measured has the cross-entropy of logits.")
    image = about.input_shape
    shape = (batch or _smallest_batch(model, image), *image)
    x = jnp.asarray(random_array("x", shape))
    state = jax.block_until_ready(initial_state(model, x))
    labels = jnp.zeros(jax.eval_shape(functools.partial(_logits, model), state, x).shape[:-1], jnp.int32)
    jax.clear_caches()
    seconds: dict[str, float] = {}

    def timed(phase: str, work: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(work())
        seconds[phase] = round(time.perf_counter() - start, 3)
        return result

    step = jax.jit(functools.partial(_step, model), donate_argnums=(0,))
    traced = timed("trace", lambda: step.trace(state, x, labels))
    lowered = timed("lower", traced.lower)
    compiled = timed("compile", lowered.compile)
    state, _ = timed("first_step", lambda: compiled(state, x, labels))
    timed("second_step", lambda: compiled(state, x, labels))
    return {"name": name, "input": list(shape), "seconds": seconds}


def _smallest_batch(model: nn.Module, image: tuple[int, ...]) -> int:
    """1, or 2 where batch statistics of one image are refused."""
    x = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)
    train = functools.partial(model.apply, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)})
    try:
        jax.eval_shape(train, variables, x)
    except ShapeError:
        return 2
    return 1


def _logits(model: nn.Module, state: State, x: jax.Array) -> jax.Array:
    params, batch_stats, _ = state
    logits: Any = model.apply({"params": params, "batch_stats": batch_stats}, x, train=False)
    return logits


def _step(model: nn.Module, state: State, x: jax.Array, labels: jax.Array) -> tuple[State, jax.Array]:
    """One update by the mean cross-entropy over all labels, dropout included."""
    params, batch_stats, opt_state = state

    def loss_of(params: Any) -> tuple[jax.Array, Any]:
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)
        return losses.mean(), updated.get("batch_stats", {})

    (loss, new_stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
    updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
    return (optax.apply_updates(params, updates), new_stats, opt_state), loss
