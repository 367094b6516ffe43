"""EfficientNet: inverted residuals with squeeze and excitation (Tan and Le 2019)."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import global_avg_pool
from jaxcnn.models._layers import StochasticDepth, as_images, classifier, dropout_layer, he_fan_out, scaled_width
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import BatchNorm, Conv, DepthwiseConv

# Table 1 of the paper: expansion, side of the window, stride of the first block, output channels, blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class SqueezeExcite(nn.Module):
    """Multiplies each channel by a gate that depends on the averages of all channels (Hu et al. 2018).

    Attributes:
        squeezed: channels between the two layers.
        dtype: type of the computation.
    """

    squeezed: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to the same shape."""
        conv = functools.partial(Conv, kernel_size=(1, 1), dtype=self.dtype, kernel_init=he_fan_out)
        gate = global_avg_pool(x, spatial_ndim=2, keepdims=True)
        gate = nn.silu(conv(self.squeezed, name="reduce")(gate))
        return x * nn.sigmoid(conv(x.shape[-1], name="expand")(gate))


class MBConv(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection, and a shortcut if the shape is unchanged.

    Attributes:
        features: output channels.
        expansion: ratio of the intermediate to the input channels; 1 omits the first convolution.
        window: side of the depthwise kernel.
        strides: step of the depthwise convolution.
        drop_rate: probability with which training drops the branch of an image.
        norm: creates a norm.
        dtype: type of the computation.
    """

    features: int
    expansion: int
    window: int
    strides: int
    drop_rate: float
    norm: Callable[..., nn.Module]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height / strides, width / strides, features)``."""
        options: dict[str, Any] = {"use_bias": False, "dtype": self.dtype, "kernel_init": he_fan_out}
        y, channels = x, x.shape[-1]
        middle = scaled_width(channels, self.expansion)
        if middle != channels:
            y = nn.silu(self.norm(name="expand_norm")(Conv(middle, (1, 1), name="expand_conv", **options)(y)))
        y = DepthwiseConv(
            (self.window, self.window),
            strides=self.strides,
            padding=self.window // 2,
            name="depthwise_conv",
            **options,
        )(y)
        y = nn.silu(self.norm(name="depthwise_norm")(y))
        y = SqueezeExcite(max(1, channels // 4), self.dtype, name="squeeze_excite")(y)
        y = self.norm(name="project_norm")(Conv(self.features, (1, 1), name="project_conv", **options)(y))
        return x + StochasticDepth(self.drop_rate, name="drop")(y, train) if x.shape == y.shape else y


class EfficientNet(nn.Module):
    """An EfficientNet; ``efficientnet_b0`` is the network of table 1, 5,288,548 parameters at 224x224.

    Built like torchvision's, whose weights load: strided layers are padded equally on both sides (TensorFlow pads one
    less before), the norms have an epsilon of 1e-5 and a momentum of 0.9 (TensorFlow: 1e-3 and 0.99). Kernels are
    initialised from He's normal distribution with fan-out, the dense layer uniformly on ``+-1 / sqrt(num_classes)``.
    ``width`` and ``depth`` scale the network as in the paper's compound scaling.

    Images may have any size. ``features`` returns ``stem``, ``stage1`` to ``stage7``, ``last`` (the 1x1 convolution
    before pooling), ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        width: multiplies the channels of every layer.
        depth: multiplies the blocks of every stage.
        stages: for each its expansion, side of the window, stride of its first block, channels, and blocks.
        dropout_rate: fraction of the pooled features dropped in training; requires an rng named ``dropout``.
        drop_rate: probability with which training drops the last block's branch; it increases linearly with depth.
        norm: creates a norm; replace it to change its momentum, or to share statistics over ``axis_name``.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(EfficientNet().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    5288548
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    width: float = 1.0
    depth: float = 1.0
    stages: Sequence[tuple[int, int, int, int, int]] = STAGES
    dropout_rate: float = 0.2
    drop_rate: float = 0.2
    norm: Callable[..., nn.Module] = functools.partial(BatchNorm, momentum=0.9)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem, each stage and the last convolution, the pooled vector, and the logits."""
        x = as_images(x)
        conv = functools.partial(Conv, use_bias=False, dtype=self.dtype, kernel_init=he_fan_out)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        x = conv(scaled_width(32, self.width), (3, 3), 2, 1, name="stem_conv")(x)
        outputs = {"stem": (x := nn.silu(norm(name="stem_norm")(x)))}
        sizes = [math.ceil(blocks * self.depth) for *_, blocks in self.stages]
        done, total = 0, sum(sizes)
        for stage, (expansion, window, strides, channels, _) in enumerate(self.stages, 1):
            for index in range(sizes[stage - 1]):
                x = MBConv(
                    features=scaled_width(channels, self.width),
                    expansion=expansion,
                    window=window,
                    strides=strides if index == 0 else 1,
                    drop_rate=self.drop_rate * done / total,
                    norm=norm,
                    dtype=self.dtype,
                    name=f"stage{stage}_block{index}",
                )(x, train)
                done += 1
            outputs[f"stage{stage}"] = x
        x = conv(4 * x.shape[-1], (1, 1), name="last_conv")(x)
        outputs["last"] = x = nn.silu(norm(name="last_norm")(x))
        outputs["pooled"] = x = global_avg_pool(x, spatial_ndim=2)
        x = dropout_layer(self.dropout_rate, train=train)(x)
        kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
        return outputs | {
            "logits": classifier(self.num_classes, dtype=self.dtype, kernel_init=kernel_init, name="head")(x)
        }

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


_FIRST = r"stage1_block(\d+)/"
_LATER = r"stage(\d)_block(\d+)/"
TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        "stem_conv": "features.0.0",
        "stem_norm": "features.0.1",
        _FIRST + "depthwise_conv": r"features.1.\1.block.0.0",
        _FIRST + "depthwise_norm": r"features.1.\1.block.0.1",
        _FIRST + "squeeze_excite/reduce": r"features.1.\1.block.1.fc1",
        _FIRST + "squeeze_excite/expand": r"features.1.\1.block.1.fc2",
        _FIRST + "project_conv": r"features.1.\1.block.2.0",
        _FIRST + "project_norm": r"features.1.\1.block.2.1",
        _LATER + "expand_conv": r"features.\1.\2.block.0.0",
        _LATER + "expand_norm": r"features.\1.\2.block.0.1",
        _LATER + "depthwise_conv": r"features.\1.\2.block.1.0",
        _LATER + "depthwise_norm": r"features.\1.\2.block.1.1",
        _LATER + "squeeze_excite/reduce": r"features.\1.\2.block.2.fc1",
        _LATER + "squeeze_excite/expand": r"features.\1.\2.block.2.fc2",
        _LATER + "project_conv": r"features.\1.\2.block.3.0",
        _LATER + "project_norm": r"features.\1.\2.block.3.1",
        "last_conv": "features.8.0",
        "last_norm": "features.8.1",
        "head": "classifier.1",
    },
    head="head",
)
TIMM = TorchNames(
    source="timm",
    modules={
        "stem_conv": "conv_stem",
        "stem_norm": "bn1",
        _FIRST + "depthwise_conv": r"blocks.0.\1.conv_dw",
        _FIRST + "depthwise_norm": r"blocks.0.\1.bn1",
        _FIRST + "squeeze_excite/reduce": r"blocks.0.\1.se.conv_reduce",
        _FIRST + "squeeze_excite/expand": r"blocks.0.\1.se.conv_expand",
        _FIRST + "project_conv": r"blocks.0.\1.conv_pw",
        _FIRST + "project_norm": r"blocks.0.\1.bn2",
        **{
            rf"stage{stage}_block(\d+)/{ours}": rf"blocks.{stage - 1}.\1.{theirs}"
            for stage in range(2, len(STAGES) + 1)
            for ours, theirs in {
                "expand_conv": "conv_pw",
                "expand_norm": "bn1",
                "depthwise_conv": "conv_dw",
                "depthwise_norm": "bn2",
                "squeeze_excite/reduce": "se.conv_reduce",
                "squeeze_excite/expand": "se.conv_expand",
                "project_conv": "conv_pwl",
                "project_norm": "bn3",
            }.items()
        },
        "last_conv": "conv_head",
        "last_norm": "bn2",
        "head": "classifier",
    },
    head="head",
)

register(
    ModelInfo(
        name="efficientnet_b0",
        paper="Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019",
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=5_288_548,
        macs=385_814_752,
        accuracy="77.692 % ImageNet",
    ),
    EfficientNet,
    torch_names=(TORCHVISION, TIMM),
)
