"""PilotNet, which steers a car from the image of a front camera (Bojarski et al. 2016)."""

import functools
from collections.abc import Callable

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._errors import ShapeError
from jaxcnn.models._layers import as_images, classifier
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv

ROWS, COLUMNS = (61, 68), (197, 204)


class PilotNet(nn.Module):
    """Five convolutions and four dense layers, from a 66x200 image to the inverse of the turning radius.

    Three convolutions of 5x5 with stride 2 and two of 3x3, all without padding, and dense layers of 100, 50, 10 and
    ``num_classes`` units, 1 in the paper. The paper's input is in YUV and normalised by a fixed layer. The 1164
    flattened values of its figure are 1152, 64 * 1 * 18. The paper does not state the nonlinearity.

    Images have 61 to 68 rows and 197 to 204 columns. ``features`` returns ``conv1`` to ``conv5`` and ``dense1`` to
    ``dense3`` after the nonlinearity, and ``logits``, the predicted numbers.

    Args:
        num_classes: number of predicted numbers.
        dtype: type of the computation; parameters stay float32.
        activation: the nonlinearity.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(PilotNet().init, jax.random.key(0), jnp.zeros((1, 66, 200, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    252219
    """

    num_classes: int = 1
    dtype: DTypeLike | None = None
    activation: Callable[[jax.Array], jax.Array] = nn.relu

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1`` to ``logits``."""
        x = as_images(x, smallest=ROWS[0], known_because="the dense layers read a map of 1x18")
        if not (ROWS[0] <= x.shape[-3] <= ROWS[1] and COLUMNS[0] <= x.shape[-2] <= COLUMNS[1]):
            raise ShapeError(
                f"expected images (*batch, height, width, channels) of {ROWS[0]} to {ROWS[1]} rows and {COLUMNS[0]} to "
                f"{COLUMNS[1]} columns; got x.shape={x.shape}. The dense layers require a map of 1x18."
            )
        outputs = {}
        conv = functools.partial(Conv, padding="VALID", dtype=self.dtype)
        for index, (width, window, strides) in enumerate(
            ((24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1)), 1
        ):
            name = f"conv{index}"
            outputs[name] = x = self.activation(conv(width, (window, window), strides, name=name)(x))
        x = x.reshape(*x.shape[:-3], 18 * 64)
        for index, units in enumerate((100, 50, 10), 1):
            name = f"dense{index}"
            outputs[name] = x = self.activation(nn.Dense(units, dtype=self.dtype, name=name)(x))
        return outputs | {"logits": classifier(self.num_classes, dtype=self.dtype, name="head")(x)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Numbers ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="pilotnet",
        paper="Bojarski et al.: End to End Learning for Self-Driving Cars, 2016",
        input_shape=(66, 200, 3),
        num_classes=1,
        parameters=252_219,
        macs=26_876_342,
    ),
    PilotNet,
)
