"""Everything that changes from step to step, as one pytree: what a checkpoint holds is what a step returns."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxcnn.train._calls import augmented, initialized, loss_and_aux, prepared
from jaxcnn.train._experiment import Experiment

Variables = dict[str, Any]

# The streams of random numbers of a run; the step or epoch is folded in, so no key needs to be saved.
INIT, ORDER, STEP = 0, 1, 2


def stream(seed: int, which: int) -> jax.Array:
    """The root key of one of the run's streams of random numbers."""
    return jax.random.fold_in(jax.random.key(seed), which)


class TrainState(struct.PyTreeNode):
    """Variables, optimizer, average, and the sums of the epoch so far.

    ``collections`` are all variables but the parameters. ``ema_params`` is None where no average is kept. ``loss_sum``
    adds up the losses of the ``taken`` steps of the epoch so far, ``metric_sums`` the metrics of their examples, so
    that a run resumed within an epoch reports the same epoch; float32 counts to 16 million exactly. ``skipped`` counts
    the steps of the run whose update was left out because something in it was not finite, ``skipped_in_row`` the
    skipped steps since the last good one. ``loss_scale`` is None where the loss is not scaled.
    """

    step: jax.Array
    params: Any
    collections: Variables
    opt_state: optax.OptState
    ema_params: Any
    loss_sum: jax.Array
    metric_sums: dict[str, jax.Array]
    taken: jax.Array
    skipped: jax.Array
    skipped_in_row: jax.Array
    loss_scale: jax.Array | None

    @property
    def variables(self) -> Variables:
        """The variables that are trained."""
        return {"params": self.params, **self.collections}

    @property
    def eval_variables(self) -> Variables:
        """The variables that are evaluated and exported, with the averaged parameters if there are any."""
        return self.variables if self.ema_params is None else {**self.variables, "params": self.ema_params}

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rates of the last step that the optimizer's state records, as ``optax.inject_hyperparams`` does.

        A single rate is called ``learning_rate``; with several optimizers the name ends with the place in the state.
        """
        found = optax.tree_utils.tree_get_all_with_path(self.opt_state, "learning_rate")
        rates = {_labels(path): float(value) for path, value in found if getattr(value, "shape", None) == ()}
        if len(rates) == 1:
            return {"learning_rate": next(iter(rates.values()))}
        return {f"learning_rate/{place}": value for place, value in rates.items()}


def _labels(path: Any) -> str:
    """The keys of dicts on a path, such as the labels of ``optax.multi_transform``."""
    keys = [str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey)]
    return "/".join(key for key in keys if key != "learning_rate") or "/".join(map(str, path))


def create_state(experiment: Experiment) -> TrainState:
    """The state before the first step: a function of the experiment and its seed."""
    # It runs once, so on the CPU it is compiled with few optimisations; the random numbers are the same. For large
    # models, optimising the initialisation takes longer than it saves.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    variables = jax.jit(functools.partial(_initial, experiment), compiler_options=options)()
    return jax.jit(functools.partial(_state, experiment))(experiment.start(variables))


def abstract_state(experiment: Experiment) -> TrainState:
    """Shapes and types of the state."""
    return jax.eval_shape(lambda: _state(experiment, experiment.start(_initial(experiment))))


def abstract_variables(experiment: Experiment) -> Variables:
    """Shapes and types of the variables alone, without tracing the objective and the optimizer."""
    return jax.eval_shape(lambda: experiment.start(_initial(experiment)))


def blank(experiment: Experiment, rows: int) -> dict[str, jax.Array]:
    """A batch of zeros."""
    return {name: jnp.zeros((rows, *shape), dtype) for name, (shape, dtype) in experiment.data.train.fields.items()}


def _initial(experiment: Experiment) -> Variables:
    return initialized(experiment, stream(experiment.seed, INIT), prepared(experiment, blank(experiment, 1)))


def _metric_names(experiment: Experiment, variables: Variables) -> list[str]:
    """The names of the metrics of the objective."""

    def metrics(variables: Variables) -> dict[str, jax.Array]:
        rows = jnp.zeros(experiment.batch_size, jnp.int32)
        batch = {**prepared(experiment, blank(experiment, len(rows))), "index": rows, "epoch": rows}
        key = jax.random.key(0)
        return loss_and_aux(experiment, variables, augmented(experiment, key, batch), key)[2]

    return list(jax.eval_shape(metrics, variables))


def _state(experiment: Experiment, variables: Variables) -> TrainState:
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        collections={name: collection for name, collection in variables.items() if name != "params"},
        opt_state=experiment.optimizer.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if experiment.ema_decay else None,
        loss_sum=jnp.zeros((), jnp.float32),
        metric_sums={name: jnp.zeros((), jnp.float32) for name in _metric_names(experiment, variables)},
        taken=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        skipped_in_row=jnp.zeros((), jnp.int32),
        loss_scale=None if experiment.loss_scale is None else jnp.asarray(experiment.loss_scale, jnp.float32),
    )
