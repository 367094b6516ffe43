"""The first deep network of 3-D convolutions for video (Tran et al. 2015)."""

import functools
from collections.abc import Sequence

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import max_pool
from jaxcnn.models._layers import as_videos, classifier, dropout_layer, per_stage
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv


class C3D(nn.Module):
    """C3D: eight 3x3x3 convolutions in five stages, each followed by max pooling, and three dense layers.

    The first pool halves rows and columns, the others frames as well. Sizes that are not even are rounded up, as in the
    authors' framework: the last pool makes a map of 1x4x4 from one of 2x7x7. Some ports pad this map by one row and
    column on each side instead, which gives as many parameters but other windows. As in the authors' files, kernels of
    convolutions are initialised from a normal distribution with standard deviation 0.01, those of the hidden dense
    layers with 0.005, and biases with 1, except for those of the last layer, which are 0.

    Videos have 1 to 16 frames of 97x97 to 128x128 pixels, for which the dense layers read a 1x4x4 map; those of the
    paper are 16x112x112. ``features`` returns each ``conv<stage>_<index>`` after its rectifier, ``pool1`` to ``pool5``,
    ``fc6``, ``fc7`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        stage_sizes: number of convolutions of each of the five stages.
        widths: channels of each stage.
        hidden: units of each hidden dense layer.
        dropout_rate: fraction of the hidden units dropped in training; requires an rng named ``dropout``.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(C3D(num_classes=101).init, jax.random.key(0), jnp.zeros((1, 16, 112, 112, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    78409573
    """

    num_classes: int = 487
    dtype: DTypeLike | None = None
    stage_sizes: Sequence[int] = (1, 1, 2, 2, 2)
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dropout_rate: float = 0.5

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1_1`` to ``logits``."""
        x = as_videos(x, smallest=(1, 97, 97), largest=(16, 128, 128))
        stages = per_stage(count=5, stage_sizes=self.stage_sizes, widths=self.widths)
        normal, ones = nn.initializers.normal, nn.initializers.ones
        outputs = {}
        for stage, (size, width) in enumerate(stages, 1):
            for index in range(1, size + 1):
                name = f"conv{stage}_{index}"
                conv = Conv(
                    width, (3, 3, 3), 1, 1, dtype=self.dtype, kernel_init=normal(0.01), bias_init=ones, name=name
                )
                outputs[name] = x = nn.relu(conv(x))
            window = (1, 2, 2) if stage == 1 else (2, 2, 2)
            outputs[f"pool{stage}"] = x = max_pool(x, window, strides=window, ceil_mode=True)
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=normal(0.005), bias_init=ones)
        dropout = dropout_layer(self.dropout_rate, train=train)
        x = x.reshape(*x.shape[:-4], 4 * 4 * x.shape[-1])
        outputs["fc6"] = x = nn.relu(dense(self.hidden, name="fc6")(x))
        outputs["fc7"] = x = nn.relu(dense(self.hidden, name="fc7")(dropout(x)))
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=normal(0.01), name="fc8")
        return outputs | {"logits": head(dropout(x))}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of videos ``(*batch, frames, height, width, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="c3d",
        paper="Tran, Bourdev, Fergus, Torresani, Paluri: Learning Spatiotemporal Features with 3D Convolutional "
        "Networks, 2015",
        input_shape=(16, 112, 112, 3),
        num_classes=487,
        parameters=79_991_015,
        macs=38_548_959_232,
        accuracy="82.3 % UCF-101, with a linear SVM",
    ),
    C3D,
)
