"""Training steps of whole networks: our model, an unmodified Flax model, and that model under ``accelerate()``."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn.bench import _flax_models
from jaxcnn.bench._layers import Step
from jaxcnn.bench._program import Program, compile_jax, random_array
from jaxcnn.functional import accelerate
from jaxcnn.models import create

State = tuple[Any, Any, Any]

OPTIMIZER = optax.sgd(0.01, momentum=0.9)


def our_model(step: Step) -> nn.Module:
    """The network of ``jaxcnn.models``, without dropout."""
    if step.name == "convnext_stage":
        return create("convnext_tiny", num_classes=step.num_classes, stage_sizes=(3,), widths=(96,), drop_rate=0.0)
    options: dict[str, Any] = {"dropout_rate": 0.0} if step.name == "mobilenet_v2" else {}
    return create(step.name, num_classes=step.num_classes, **options)


def stock_model(step: Step) -> nn.Module:
    """The same network of Flax's layers."""
    return _flax_models.MODELS[step.name](step.num_classes)


def make(step: Step, peer: str) -> Program:
    """The step of a peer, compiled cold: ``"ours"``, ``"stock"``, or ``"accelerated"``, stock under ``accelerate()``.

    The state is donated, as in training. The outputs are the loss and then the gradients of the first step.
    """
    model = our_model(step) if peer == "ours" else stock_model(step)
    x = jnp.asarray(random_array("x", step.x_shape))
    labels = jnp.arange(step.x_shape[0]) % step.num_classes
    state = initial_state(model, x)
    jax.clear_caches()  # functions that an earlier step traced would reduce the compile time
    with accelerate() if peer == "accelerated" else contextlib.nullcontext():
        compiled, costs = compile_jax(training_step(model), (state, x, labels), donate_argnums=(0,))
    now = [state]

    def run() -> jax.Array:
        now[0], loss = compiled(now[0], x, labels)
        return jax.block_until_ready((now[0], loss))[1]

    loss = np.asarray(run())
    gradients = [np.array(leaf) for leaf in jax.tree.leaves(now[0][2])]  # momentum after one step is the gradient
    return Program(lambda: _ignore(run()), [loss, *gradients], **costs)  # type: ignore[arg-type]


def _ignore(value: object) -> None:
    del value


def training_step(model: nn.Module) -> Callable[[State, jax.Array, jax.Array], tuple[State, jax.Array]]:
    """One update by SGD with momentum, as a pure function of the state and a batch."""

    def step(state: State, x: jax.Array, labels: jax.Array) -> tuple[State, jax.Array]:
        params, batch_stats, opt_state = state

        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            logits, updated = model.apply(
                {"params": params, "batch_stats": batch_stats}, x, train=True, mutable=["batch_stats"]
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updated.get("batch_stats", {})

        (loss, new_stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
        return (optax.apply_updates(params, updates), new_stats, opt_state), loss

    return step


def initial_state(model: nn.Module, x: jax.Array) -> State:
    """Variables determined by their names, so that two models with the same names have the same initial values."""
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    variables = jax.tree_util.tree_map_with_path(_initial, shapes)
    params = variables["params"]
    return params, variables.get("batch_stats", {}), OPTIMIZER.init(params)


def _initial(path: Sequence[Any], leaf: jax.ShapeDtypeStruct) -> jax.Array:
    name = "/".join(str(key.key) for key in path)
    last = name.rsplit("/", 1)[-1]
    if last == "kernel":
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        return jnp.asarray(random_array(name, leaf.shape, scale=(2 / fan_in) ** 0.5))
    return jnp.full(leaf.shape, {"scale": 1.0, "var": 1.0, "layer_scale": 0.1}.get(last, 0.0), leaf.dtype)
