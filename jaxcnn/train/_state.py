"""Everything that changes from step to step, as one pytree: what a checkpoint holds is what a step returns."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxcnn.train._experiment import Experiment

Variables = dict[str, Any]

# The streams of random numbers of a run; the step or epoch is folded in, so no key needs to be saved.
INIT, ORDER, STEP, ALTERNATE = 0, 1, 2, 3


def stream(seed: int, which: int) -> jax.Array:
    """The root key of one of the run's streams of random numbers."""
    return jax.random.fold_in(jax.random.key(seed), which)


class TrainState(struct.PyTreeNode):
    """Parameters, statistics, optimizer, average, and the sums of the epoch under way.

    ``ema_params`` is None where no average is kept. ``loss_sum`` and ``correct`` are over the ``taken`` steps of the
    epoch so far, so that a run resumed in mid-epoch reports the same epoch. ``correct`` counts images, those with a
    label for each pixel by the share of them that is right; float32 counts to 16 million exactly. ``skipped`` counts
    the steps of the run whose update was left out because something in it was not finite, ``skipped_in_row`` the last
    ones without a good one between. ``loss_scale`` is None where the loss is not scaled.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema_params: Any
    loss_sum: jax.Array
    correct: jax.Array
    taken: jax.Array
    skipped: jax.Array
    skipped_in_row: jax.Array
    loss_scale: jax.Array | None

    @property
    def eval_variables(self) -> Variables:
        """The variables that are evaluated and shipped: the averaged parameters where there are some."""
        params = self.params if self.ema_params is None else self.ema_params
        return {"params": params, "batch_stats": self.batch_stats}


def create_state(experiment: Experiment) -> TrainState:
    """The state at step 0, a pure function of the experiment and its seed."""
    # The program runs once, and LLVM would take a second for each kernel whose drawing it optimises.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    variables = jax.jit(functools.partial(_initial, experiment), compiler_options=options)()
    return jax.jit(functools.partial(_state, experiment))(experiment.start(variables))


def abstract_state(experiment: Experiment) -> TrainState:
    """Shapes and types of the state."""
    return jax.eval_shape(lambda: _state(experiment, experiment.start(_initial(experiment))))


def _initial(experiment: Experiment) -> Variables:
    blank = jnp.zeros((1, *experiment.dataset.image_shape), jnp.uint8)
    x, key = experiment.normalize(experiment.prepare(blank)), stream(experiment.seed, INIT)
    variables: Any = experiment.model.init(key, x, train=False)
    return variables


def _state(experiment: Experiment, variables: Variables) -> TrainState:
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=experiment.optimizer.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if experiment.ema_decay else None,
        loss_sum=jnp.zeros((), jnp.float32),
        correct=jnp.zeros((), jnp.float32),
        taken=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        skipped_in_row=jnp.zeros((), jnp.int32),
        loss_scale=None if experiment.loss_scale is None else jnp.asarray(experiment.loss_scale, jnp.float32),
    )
