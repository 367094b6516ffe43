"""The network of the ConvNetJS CIFAR-10 demo, which trains in a browser (Karpathy 2014)."""

from collections.abc import Sequence

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import max_pool
from jaxcnn.models._layers import as_images, classifier
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv


class ConvNetJS(nn.Module):
    """Three times a 5x5 convolution, a rectifier and 2x2 max pooling, and a dense layer: 22,466 parameters.

    Layers as on the demo's page: 16, 20 and 20 filters, padded by 2. Weights are initialised from a normal distribution
    with standard deviation ``sqrt(1 / fan_in)``, biases of rectified layers with 0.1, those of the last with 0. The
    demo trains on single images with Adadelta, without normalisation beyond the range of the pixels.

    Images are at least 8x8; the dense layer requires the image size with which the model was initialised. ``features``
    returns ``conv1``, ``pool1`` to ``conv3``, ``pool3`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        widths: filters of each convolution.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(ConvNetJS().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    22466
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    widths: Sequence[int] = (16, 20, 20)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1`` to ``logits``."""
        because = "the last layer has weights for each position of the map"
        x = as_images(x, smallest=2 ** len(self.widths), known_because=because)
        outputs, init = {}, nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        bias = nn.initializers.constant(0.1)
        for index, width in enumerate(self.widths, 1):
            name = f"conv{index}"
            conv = Conv(width, (5, 5), 1, 2, dtype=self.dtype, kernel_init=init, bias_init=bias, name=name)
            outputs[name] = x = nn.relu(conv(x))
            outputs[f"pool{index}"] = x = max_pool(x, (2, 2), strides=2)
        x = x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2] * x.shape[-1])
        return outputs | {"logits": classifier(self.num_classes, dtype=self.dtype, kernel_init=init, name="head")(x)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="convnetjs_cifar10",
        paper="Karpathy: ConvNetJS, CIFAR-10 demo, 2014",
        input_shape=(32, 32, 3),
        num_classes=10,
        parameters=22_466,
        macs=3_920_000,
    ),
    ConvNetJS,
)
