"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al. 2018)."""

import functools
from collections.abc import Callable, Sequence

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import global_avg_pool
from jaxcnn.models._layers import as_images, classifier, dropout_layer, he_fan_out, scaled_width
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import BatchNorm, Conv, DepthwiseConv

# Table 2 of the paper: expansion, output channels, blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expansion by a 1x1 convolution, depthwise convolution, linear 1x1 projection (the paper's figure 3).

    Attributes:
        features: output channels.
        expansion: ratio of the intermediate to the input channels; 1 omits the first convolution.
        strides: step of the depthwise convolution.
        norm: creates a norm.
        dtype: type of the computation.
    """

    features: int
    expansion: int
    strides: int
    norm: Callable[..., nn.Module]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height / strides, width / strides, features)``."""
        conv = functools.partial(Conv, kernel_size=(1, 1), use_bias=False, dtype=self.dtype, kernel_init=he_fan_out)
        y = x
        if self.expansion != 1:
            y = conv(x.shape[-1] * self.expansion, name="expand_conv")(y)
            y = nn.relu6(self.norm(name="expand_norm")(y))
        y = DepthwiseConv(
            (3, 3),
            strides=self.strides,
            padding=1,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=he_fan_out,
            name="depthwise_conv",
        )(y)
        y = nn.relu6(self.norm(name="depthwise_norm")(y))
        y = self.norm(name="project_norm")(conv(self.features, name="project_conv")(y))
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """MobileNetV2, table 2 of the paper: 3,504,872 parameters and 301 million multiply-adds at 224x224.

    Built like torchvision's, whose weights load: channels are rounded to multiples of 8, strided layers are padded by
    one on both sides, and dropout is before the dense layer. Kernels are initialised from He's normal distribution with
    fan-out, the dense layer from a normal distribution with standard deviation 0.01.

    Images may have any size; the last map has 1/32 of it. ``features`` returns ``stem``, ``stage1`` to
    ``stage7``, ``last`` (the 1x1 convolution before pooling), ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        width: multiplies the channels of every layer; the last convolution never has fewer than 1280.
        stages: for each its expansion, channels, blocks, and the stride of its first block.
        dropout_rate: fraction of the pooled features dropped in training; requires an rng named ``dropout``.
        norm: creates a norm; replace it to change its momentum, or to share statistics over ``axis_name``.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(MobileNetV2().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    3504872
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    width: float = 1.0
    stages: Sequence[tuple[int, int, int, int]] = STAGES
    dropout_rate: float = 0.2
    norm: Callable[..., nn.Module] = functools.partial(BatchNorm, momentum=0.9)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem, each stage and the last convolution, the pooled vector, and the logits."""
        x = as_images(x)
        conv = functools.partial(Conv, use_bias=False, dtype=self.dtype, kernel_init=he_fan_out)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        x = conv(scaled_width(32, self.width), (3, 3), 2, 1, name="stem_conv")(x)
        x = nn.relu6(norm(name="stem_norm")(x))
        outputs = {"stem": x}
        for stage, (expansion, channels, blocks, strides) in enumerate(self.stages, 1):
            for index in range(blocks):
                x = InvertedResidual(
                    scaled_width(channels, self.width),
                    expansion,
                    strides if index == 0 else 1,
                    norm,
                    self.dtype,
                    name=f"stage{stage}_block{index}",
                )(x)
            outputs[f"stage{stage}"] = x
        x = conv(scaled_width(1280, max(1.0, self.width)), (1, 1), name="last_conv")(x)
        outputs["last"] = x = nn.relu6(norm(name="last_norm")(x))
        outputs["pooled"] = x = global_avg_pool(x, spatial_ndim=2)
        x = dropout_layer(self.dropout_rate, train=train)(x)
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01), name="head")
        return outputs | {"logits": head(x)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


_FIRST = r"stage1_block0/"
_BLOCKS = [
    (f"stage{stage}_block{index}/", stage - 1, index)
    for stage, (_, _, blocks, _) in enumerate(STAGES, 1)
    for index in range(blocks)
]
TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        "stem_conv": "features.0.0",
        "stem_norm": "features.0.1",
        _FIRST + "depthwise_conv": "features.1.conv.0.0",
        _FIRST + "depthwise_norm": "features.1.conv.0.1",
        _FIRST + "project_conv": "features.1.conv.1",
        _FIRST + "project_norm": "features.1.conv.2",
        **{
            block + ours: f"features.{number}.conv.{theirs}"
            for number, (block, _, _) in enumerate(_BLOCKS, 1)
            for ours, theirs in {
                "expand_conv": "0.0",
                "expand_norm": "0.1",
                "depthwise_conv": "1.0",
                "depthwise_norm": "1.1",
                "project_conv": "2",
                "project_norm": "3",
            }.items()
            if number > 1
        },
        "last_conv": f"features.{len(_BLOCKS) + 1}.0",
        "last_norm": f"features.{len(_BLOCKS) + 1}.1",
        "head": "classifier.1",
    },
    head="head",
)
TIMM = TorchNames(
    source="timm",
    modules={
        "stem_conv": "conv_stem",
        "stem_norm": "bn1",
        _FIRST + "depthwise_conv": "blocks.0.0.conv_dw",
        _FIRST + "depthwise_norm": "blocks.0.0.bn1",
        _FIRST + "project_conv": "blocks.0.0.conv_pw",
        _FIRST + "project_norm": "blocks.0.0.bn2",
        **{
            block + ours: f"blocks.{stage}.{index}.{theirs}"
            for block, stage, index in _BLOCKS
            for ours, theirs in {
                "expand_conv": "conv_pw",
                "expand_norm": "bn1",
                "depthwise_conv": "conv_dw",
                "depthwise_norm": "bn2",
                "project_conv": "conv_pwl",
                "project_norm": "bn3",
            }.items()
            if stage > 0
        },
        "last_conv": "conv_head",
        "last_norm": "bn2",
        "head": "classifier",
    },
    head="head",
)

register(
    ModelInfo(
        name="mobilenet_v2",
        paper="Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018",
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=3_504_872,
        macs=300_774_272,
        accuracy="71.878 % ImageNet",
    ),
    MobileNetV2,
    torch_names=(TORCHVISION, TIMM),
)
