"""The networks of ``captum_maps`` as models of this library, with the same weights."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jaxcnn.models import create
from tests.attribution import captum_maps

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lenet": lambda: create("lenet5"),
    "vgg": lambda: create("vgg11", stage_sizes=(1, 2), widths=(4, 6), hidden=12, num_classes=5),
    "resnet": lambda: create("resnet18", stage_sizes=(1, 1), width=4, num_classes=5),
}


def network(name: str) -> tuple[nn.Module, Any]:
    """A model and its variables in the default dtype."""
    model = NETWORKS[name]()
    shapes = jax.eval_shape(model.init, jax.random.key(0), captum_maps.images(name).astype(np.float32))

    def draw(path: Any, leaf: Any) -> Any:
        return captum_maps.drawn("/".join(part.key for part in path[1:]), leaf.shape)

    return model, jax.tree.map_with_path(draw, shapes)
