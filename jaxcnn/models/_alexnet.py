"""AlexNet: the network of 2012 with two groups (Krizhevsky, Sutskever, Hinton), and the single column of 2014."""

import functools
from typing import Any

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import adaptive_avg_pool, local_response_norm, max_pool
from jaxcnn.models._layers import as_images, classifier, dropout_layer, torch_bias, torch_kernel
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import Conv

overlapping_pool = functools.partial(max_pool, window_shape=(3, 3), strides=2)


class AlexNet2012(nn.Module):
    """The network that won ImageNet 2012: 60,965,224 parameters on 227x227x3 images.

    As in section 3 of the paper: rectifiers; two groups in ``conv2``, ``conv4`` and ``conv5`` (one for each graphics
    card in the paper); response normalisation with ``k = 2``, ``n = 5``, ``alpha = 1e-4``, ``beta = 0.75`` after the
    rectifier of ``conv1`` and ``conv2``; overlapping max pooling, 3x3 with stride 2; dropout of 0.5 on both hidden
    dense layers. As in section 5, kernels are initialised from a normal distribution with standard deviation 0.01, and
    biases with 1 in ``conv2``, ``conv4``, ``conv5`` and the hidden dense layers, with 0 in the others. This
    initialisation is for the paper's pixels, 0 to 255 minus their mean: for images with standard deviation 1 the
    initial gradients are nearly 0.

    Deliberate difference: images are 227x227. The paper says 224x224, but 55x55 maps require 227 without padding.

    Images are 227x227 to 254x254, for which the dense layers read a 6x6 map. ``features`` returns ``conv1``
    to ``conv5`` after the rectifier, ``pool1``, ``pool2``, ``pool5``, ``fc6``, ``fc7`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        hidden: units of each hidden dense layer.
        dropout_rate: fraction of the hidden units dropped in training; requires an rng named ``dropout``.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(AlexNet2012().init, jax.random.key(0), jnp.zeros((1, 227, 227, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    60965224
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    hidden: int = 4096
    dropout_rate: float = 0.5

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1`` to ``logits``."""
        x = as_images(x, smallest=227, largest=254, advice="The dense layers require a map of 6x6.")
        ones = nn.initializers.ones
        conv = functools.partial(Conv, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
        dropout = dropout_layer(self.dropout_rate, train=train)
        conv1 = nn.relu(conv(96, (11, 11), 4, "VALID", name="conv1")(x))
        pool1 = overlapping_pool(local_response_norm(conv1))
        conv2 = nn.relu(conv(256, (5, 5), 1, 2, feature_group_count=2, bias_init=ones, name="conv2")(pool1))
        pool2 = overlapping_pool(local_response_norm(conv2))
        conv3 = nn.relu(conv(384, (3, 3), 1, 1, name="conv3")(pool2))
        conv4 = nn.relu(conv(384, (3, 3), 1, 1, feature_group_count=2, bias_init=ones, name="conv4")(conv3))
        conv5 = nn.relu(conv(256, (3, 3), 1, 1, feature_group_count=2, bias_init=ones, name="conv5")(conv4))
        pool5 = overlapping_pool(conv5)
        flat = pool5.reshape(*x.shape[:-3], 6 * 6 * 256)
        fc6 = nn.relu(dense(self.hidden, bias_init=ones, name="fc6")(flat))
        fc7 = nn.relu(dense(self.hidden, bias_init=ones, name="fc7")(dropout(fc6)))
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01), name="fc8")
        logits = head(dropout(fc7))
        outputs = {"conv1": conv1, "pool1": pool1, "conv2": conv2, "pool2": pool2, "conv3": conv3, "conv4": conv4}
        return outputs | {"conv5": conv5, "pool5": pool5, "fc6": fc6, "fc7": fc7, "logits": logits}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


class AlexNet(nn.Module):
    """The form that is usually called AlexNet: 61,100,840 parameters on 224x224x3 images.

    One column, from Krizhevsky's "One weird trick for parallelizing convolutional neural networks" (2014), in the form
    of torchvision, whose weights load: there is no response normalisation, dropout is before the two hidden dense
    layers, images of other sizes are averaged to a 6x6 map, and all parameters are initialised uniformly on
    ``+-1 / sqrt(fan_in)``, PyTorch's default. ``alexnet_2012`` is the network of the 2012 paper.

    Images are at least 63x63. ``features`` returns ``conv1`` to ``conv5`` after the rectifier, ``pool1``, ``pool2``,
    ``pool5``, ``fc6``, ``fc7`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        hidden: units of each hidden dense layer.
        dropout_rate: fraction of the inputs of hidden dense layers dropped in training; requires an rng ``dropout``.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(AlexNet().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    61100840
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    hidden: int = 4096
    dropout_rate: float = 0.5

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1`` to ``logits``."""
        x = as_images(x, smallest=63)

        def conv(
            features: int, window: int, x: jax.Array, *, name: str, strides: int = 1, padding: int = 1
        ) -> jax.Array:
            bias_init = torch_bias(window * window * x.shape[-1])
            inits: dict[str, Any] = {"kernel_init": torch_kernel, "bias_init": bias_init}
            return nn.relu(Conv(features, (window, window), strides, padding, dtype=self.dtype, **inits, name=name)(x))

        def dense(features: int, x: jax.Array, *, name: str) -> jax.Array:
            options = {"dtype": self.dtype, "kernel_init": torch_kernel, "bias_init": torch_bias(x.shape[-1])}
            return classifier(features, name=name, **options)(x)

        dropout = dropout_layer(self.dropout_rate, train=train)
        conv1 = conv(64, 11, x, strides=4, padding=2, name="conv1")
        pool1 = overlapping_pool(conv1)
        conv2 = conv(192, 5, pool1, padding=2, name="conv2")
        pool2 = overlapping_pool(conv2)
        conv3 = conv(384, 3, pool2, name="conv3")
        conv4 = conv(256, 3, conv3, name="conv4")
        conv5 = conv(256, 3, conv4, name="conv5")
        pool5 = overlapping_pool(conv5)
        flat = adaptive_avg_pool(pool5, (6, 6)).reshape(*x.shape[:-3], 6 * 6 * 256)
        fc6 = nn.relu(dense(self.hidden, dropout(flat), name="fc6"))
        fc7 = nn.relu(dense(self.hidden, dropout(fc6), name="fc7"))
        logits = dense(self.num_classes, fc7, name="fc8")
        outputs = {"conv1": conv1, "pool1": pool1, "conv2": conv2, "pool2": pool2, "conv3": conv3, "conv4": conv4}
        return outputs | {"conv5": conv5, "pool5": pool5, "fc6": fc6, "fc7": fc7, "logits": logits}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        "conv1": "features.0",
        "conv2": "features.3",
        "conv3": "features.6",
        "conv4": "features.8",
        "conv5": "features.10",
        "fc6": "classifier.1",
        "fc7": "classifier.4",
        "fc8": "classifier.6",
    },
    head="fc8",
    flattened={"fc6": (6, 6)},
)

register(
    ModelInfo(
        name="alexnet",
        paper="Krizhevsky: One Weird Trick for Parallelizing Convolutional Neural Networks, 2014",
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=61_100_840,
        macs=714_188_480,
        accuracy="56.522 % ImageNet",
    ),
    AlexNet,
    torch_names=(TORCHVISION,),
)
register(
    ModelInfo(
        name="alexnet_2012",
        paper="Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, 2012",
        input_shape=(227, 227, 3),
        num_classes=1000,
        parameters=60_965_224,
        macs=724_406_816,
        accuracy="59.3 % ImageNet",
    ),
    AlexNet2012,
)
