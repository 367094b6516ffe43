"""Communication between devices in a training step, read from the compiled program: sums, and never activations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding

from jaxcnn import models
from jaxcnn.data import Dataset, Split
from jaxcnn.train._compile._collectives import collectives
from jaxcnn.train._devices import WHOLE, Parallel, lowered_step
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._state import abstract_state
from jaxcnn.train._tasks import classification
from tests.tiers import default_rows

# Every family, as small as possible: the collectives do not depend on the number of repeated layers.
MODELS: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "lenet5": ((32, 32, 1), {}),
    "alexnet": ((63, 63, 3), {"hidden": 8}),
    "vgg11_bn": ((32, 32, 3), {"stage_sizes": (1, 1), "widths": (8, 8), "hidden": 8}),
    "resnet18_cifar": ((16, 16, 3), {"stage_sizes": (1, 1), "width": 8}),
    "mobilenet_v2": ((32, 32, 3), {"stages": ((2, 8, 1, 2),)}),  # depthwise
    "efficientnet_b0": ((32, 32, 3), {"stages": ((2, 3, 2, 8, 1),)}),
    "convnext_tiny": ((32, 32, 3), {"stage_sizes": (1,), "widths": (8,)}),
    "vit_s_16": ((32, 32, 3), {"depth": 1, "width": 16, "num_heads": 2, "mlp_width": 16, "dropout_rate": 0.1}),
    "googlenet": ((64, 64, 3), {"blocks": (("3a", (8, 8, 8, 8, 8, 8)),)}),
    "unet": ((16, 16, 3), {"widths": (4, 8), "padding": "SAME"}),
    "cifar_speedrun": ((32, 32, 3), {"widths": (8, 8, 8)}),
}
# Only the text of the program is used, so the program need not be fast.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def experiment_of(name: str, shape: tuple[int, int, int], options: dict[str, Any]) -> Experiment:
    labels = np.arange(32) % 10
    if name == "unet":
        labels = np.tile(labels[:, None, None], (1, *shape[:2]))
    split = Split(image=np.zeros((32, *shape), np.uint8), label=labels)
    return Experiment(
        **classification(models.create(name, num_classes=10, **options)),
        data=Dataset(name="blank", train=split, test=split, class_names=tuple("abcdefghij")),
        optimizer=optax.sgd(0.1, momentum=0.9),
        epochs=1,
        batch_size=16,
    )


def compiled_step(experiment: Experiment, parallel: Parallel) -> str:
    whole = NamedSharding(parallel.mesh, WHOLE)

    def struct(array: jax.typing.ArrayLike) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=whole)

    arrays, order = jax.tree.map(struct, (experiment.data.train.arrays, np.zeros((2, 16), np.int32)))
    state = parallel.template(abstract_state(experiment))
    with parallel.context():
        return lowered_step(experiment, parallel, state, arrays, order).compile(compiler_options=QUICK).as_text()


@pytest.mark.parametrize("name", default_rows(list(MODELS), keep=["resnet18_cifar"]))
def test_no_activation_travels(name: str) -> None:
    found = collectives(compiled_step(experiment_of(name, *MODELS[name]), Parallel.over(8)))
    assert {each.kind for each in found} == {"all-reduce"}, found


@pytest.mark.parametrize(
    ("spoil", "kind"), [(lambda x: x[::-1], "collective-permute"), (lambda x: jnp.sort(x, axis=0), "all-")]
)
def test_the_reading_can_fail(spoil: Callable[[jax.Array], jax.Array], kind: str) -> None:
    parallel = Parallel.over(8)
    x = jax.ShapeDtypeStruct((16, 4), jnp.float32, sharding=NamedSharding(parallel.mesh, parallel.split))
    program = parallel.jit(spoil, results=parallel.split).lower(x).compile().as_text()
    assert any(each.kind.startswith(kind) for each in collectives(program))
