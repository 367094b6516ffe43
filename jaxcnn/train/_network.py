"""The networks of an experiment and their inputs: for ``jaxcnn summary``, and to count the operations of a step."""

from typing import Any

import jax
from flax import linen as nn

from jaxcnn.train._calls import initialized, prepared
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import blank


def networks(experiment: Experiment) -> list[tuple[nn.Module, jax.ShapeDtypeStruct]]:
    """Each Linen module that ``init`` calls, with the shape and the dtype of its input for one example.

    ``init`` is traced. Modules within modules, and modules that do not read exactly one array, are left out.

    Args:
        experiment: the one whose ``init`` is traced.

    >>> import optax
    >>> from jaxcnn import data, models, train
    >>> experiment = train.Experiment(
    ...     **train.classification(models.create("lenet5", num_classes=10)),
    ...     data=data.load("digits"), optimizer=optax.sgd(0.1), epochs=1, batch_size=64,
    ... )
    >>> [(type(model).__name__, x.shape) for model, x in networks(experiment)]
    [('LeNet5', (1, 32, 32, 1))]
    """
    found: dict[int, tuple[nn.Module, jax.ShapeDtypeStruct]] = {}

    def note(call, args, kwargs, context):  # type: ignore[no-untyped-def]
        module = context.module
        first: Any = args[0] if args else None
        if not module.path and context.method_name != "setup" and hasattr(first, "shape"):
            x = jax.ShapeDtypeStruct(first.shape, first.dtype)
            found.setdefault(id(module.scope), (module.clone(parent=None), x))
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(
            lambda key: initialized(experiment, key, prepared(experiment, blank(experiment, 1))), jax.random.key(0)
        )
    return list(found.values())
