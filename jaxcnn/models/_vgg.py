"""The very deep networks of 3x3 convolutions (Simonyan and Zisserman 2014)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import adaptive_avg_pool, max_pool
from jaxcnn.models._layers import as_images, classifier, dropout_layer, he_fan_out, per_stage
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import BatchNorm, Conv

PAPER = "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014"


class VGG(nn.Module):
    """A VGG network: five stages of 3x3 convolutions, each followed by 2x2 max pooling, and three dense layers.

    ``vgg11``, ``vgg13``, ``vgg16`` and ``vgg19`` are configurations A, B, D and E of table 1 of the paper; the ``_bn``
    forms have a batch norm after each convolution. Built like torchvision's, whose weights load: the last map is
    averaged to 7x7 for images of other sizes than 224x224. Kernels of convolutions are initialised from He's normal
    distribution with fan-out (the paper initialised the deeper networks from the trained A), those of dense layers from
    a normal distribution with standard deviation 0.01, biases with 0.

    Images are at least 32x32. ``features`` returns each ``conv<stage>_<index>`` after its rectifier, ``pool1`` to
    ``pool5``, ``fc6``, ``fc7`` and ``logits``.

    Args:
        stage_sizes: number of convolutions of each stage.
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        norm: creates a norm; None for no norms.
        widths: channels of each stage.
        hidden: units of each hidden dense layer.
        dropout_rate: fraction of the hidden units dropped in training; requires an rng named ``dropout``.

    >>> import jax.numpy as jnp
    >>> from jaxcnn.models import create
    >>> variables = jax.eval_shape(create("vgg16").init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    138357544
    """

    stage_sizes: Sequence[int]
    num_classes: int = 1000
    dtype: DTypeLike | None = None
    norm: Callable[..., nn.Module] | None = None
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dropout_rate: float = 0.5

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1_1`` to ``logits``."""
        x = as_images(x, smallest=2 ** len(self.stage_sizes))
        outputs = vgg_stages(
            x, stage_sizes=self.stage_sizes, widths=self.widths, dtype=self.dtype, norm=self.norm, train=train
        )
        x = outputs[f"pool{len(self.stage_sizes)}"]
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
        dropout = dropout_layer(self.dropout_rate, train=train)
        x = adaptive_avg_pool(x, (7, 7)).reshape(*x.shape[:-3], 7 * 7 * x.shape[-1])
        outputs["fc6"] = x = nn.relu(dense(self.hidden, name="fc6")(x))
        outputs["fc7"] = x = nn.relu(dense(self.hidden, name="fc7")(dropout(x)))
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01), name="fc8")
        return outputs | {"logits": head(dropout(x))}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


def vgg_stages(
    x: jax.Array,
    *,
    stage_sizes: Sequence[int],
    widths: Sequence[int],
    dtype: Any,
    norm: Callable[..., nn.Module] | None,
    train: bool,
) -> dict[str, jax.Array]:
    """The maps of the stages of 3x3 convolutions by name, within a module that is compact."""
    outputs = {}
    for stage, (size, width) in enumerate(per_stage(stage_sizes=stage_sizes, widths=widths), 1):
        for index in range(1, size + 1):
            place = f"{stage}_{index}"
            x = Conv(width, (3, 3), 1, 1, dtype=dtype, kernel_init=he_fan_out, name=f"conv{place}")(x)
            if norm is not None:
                x = norm(use_running_average=not train, dtype=dtype, name=f"norm{place}")(x)
            outputs[f"conv{place}"] = x = nn.relu(x)
        outputs[f"pool{stage}"] = x = max_pool(x, (2, 2), strides=2)
    return outputs


# name: convolutions per stage, parameters without and with norms, multiply-adds, top-1 accuracy without and with
FORMS = {
    "vgg11": ((1, 1, 2, 2, 2), 132_863_336, 132_868_840, 7_609_090_048, "69.020 %", "70.370 %"),
    "vgg13": ((2, 2, 2, 2, 2), 133_047_848, 133_053_736, 11_308_466_176, "69.928 %", "71.586 %"),
    "vgg16": ((2, 2, 3, 3, 3), 138_357_544, 138_365_992, 15_470_264_320, "71.592 %", "73.360 %"),
    "vgg19": ((2, 2, 4, 4, 4), 143_667_240, 143_678_248, 19_632_062_464, "72.376 %", "74.218 %"),
}


def _names(sizes: Sequence[int], *, norms: bool) -> tuple[TorchNames, ...]:
    """The names in torchvision and timm. Both number convolutions, norms, rectifiers and pools consecutively."""
    modules, number = {}, 0
    for stage, size in enumerate(sizes, 1):
        for index in range(1, size + 1):
            modules[f"conv{stage}_{index}"] = f"features.{number}"
            modules[f"norm{stage}_{index}"] = f"features.{number + 1}"
            number += 3 if norms else 2
        number += 1
    torchvision = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    timm = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}
    flattened = {"fc6": (7, 7)}
    convolutions = {"fc6/kernel": (-1, 512, 7, 7), "fc7/kernel": (-1, 4096, 1, 1)}
    return (
        TorchNames(source="torchvision", modules=modules | torchvision, head="fc8", flattened=flattened),
        TorchNames(source="timm", modules=modules | timm, head="fc8", flattened=flattened, shapes=convolutions),
    )


def _register(name: str, norm: Any, parameters: int, accuracy: str) -> None:
    sizes, _, _, macs, *_ = FORMS[name.removesuffix("_bn")]
    register(
        ModelInfo(
            name=name,
            paper=PAPER,
            input_shape=(224, 224, 3),
            num_classes=1000,
            parameters=parameters,
            macs=macs,
            accuracy=f"{accuracy} ImageNet",
        ),
        functools.partial(VGG, stage_sizes=sizes, norm=norm),
        torch_names=_names(sizes, norms=norm is not None),
    )


for _name, (_sizes, _plain, _normed, _macs, _accuracy, _normed_accuracy) in FORMS.items():
    _register(_name, None, _plain, _accuracy)
    _register(f"{_name}_bn", functools.partial(BatchNorm, momentum=0.9), _normed, _normed_accuracy)
