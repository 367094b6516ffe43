"""ConvNeXt: a convolutional network with the proportions of a vision transformer (Liu et al. 2022)."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.functional import global_avg_pool
from jaxcnn.models._layers import StochasticDepth, as_images, classifier, per_stage
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import Conv, DepthwiseConv

# The reference truncates this distribution at +-2, a hundred standard deviations, which has no effect.
normal_init = nn.initializers.normal(0.02)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, norm, two dense layers with GELU between them, layer scale, a shortcut (the paper's figure 4).

    Attributes:
        layer_scale_init: initial factor of the branch, per channel.
        drop_rate: probability with which training drops the branch of an image.
        dtype: type of the computation.
    """

    layer_scale_init: float = 1e-6
    drop_rate: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to the same shape."""
        channels = x.shape[-1]
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=normal_init)
        y = DepthwiseConv((7, 7), padding=3, dtype=self.dtype, kernel_init=normal_init, name="depthwise_conv")(x)
        y = make_norm(self.dtype, "norm")(y)
        y = nn.gelu(dense(4 * channels, name="expand")(y), approximate=False)
        y = dense(channels, name="project")(y)
        scale = self.param("layer_scale", nn.initializers.constant(self.layer_scale_init), (channels,))
        y = y * scale.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (channels,))
        return x + StochasticDepth(self.drop_rate, name="drop")(y, train)


class ConvNeXtStage(nn.Module):
    """Blocks of one width, after a norm and a 2x2 convolution of stride 2 where the width changes.

    Attributes:
        features: channels of the blocks.
        drop_rates: the drop rate of each block.
        downsample: whether the stage begins by halving its input.
        layer_scale_init: as in ``ConvNeXtBlock``.
        dtype: type of the computation.
    """

    features: int
    drop_rates: Sequence[float]
    downsample: bool = True
    layer_scale_init: float = 1e-6
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height / 2, width / 2, features)``."""
        if self.downsample:
            x = make_norm(self.dtype, "downsample_norm")(x)
            conv = Conv(self.features, (2, 2), 2, "VALID", dtype=self.dtype, kernel_init=normal_init, name="downsample")
            x = conv(x)
        for index, rate in enumerate(self.drop_rates):
            x = ConvNeXtBlock(self.layer_scale_init, rate, self.dtype, name=f"block{index}")(x, train)
        return x


class ConvNeXt(nn.Module):
    """A ConvNeXt: a 4x4 convolution of stride 4, four stages, global average pooling, a norm and a dense layer.

    ``convnext_tiny`` is ConvNeXt-T of section 3 and appendix A of the paper, 28,589,128 parameters, built like
    torchvision's, whose weights load. Weights are initialised from a normal distribution with standard deviation 0.02,
    biases with 0, layer scales with 1e-6. The rate of stochastic depth increases with depth from 0 to ``drop_rate``.

    Images are at least 32x32. Pixels beyond a multiple of 4, and of 2 at each stage, are not used. ``features`` returns
    ``stem``, ``stage1`` to ``stage4``, ``pooled`` (after the norm) and ``logits``.

    Args:
        stage_sizes: number of blocks of each stage.
        widths: channels of each stage.
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        drop_rate: fraction of images for which training drops the last block; requires an rng named ``dropout``.
        layer_scale_init: initial factor of each block's branch.

    >>> import jax.numpy as jnp
    >>> from jaxcnn.models import create
    >>> variables = jax.eval_shape(create("convnext_tiny").init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    28589128
    """

    stage_sizes: Sequence[int]
    widths: Sequence[int]
    num_classes: int = 1000
    dtype: DTypeLike | None = None
    drop_rate: float = 0.1
    layer_scale_init: float = 1e-6

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem and after each stage, the pooled and normalised vector, and the logits."""
        stages = per_stage(stage_sizes=self.stage_sizes, widths=self.widths)
        x = as_images(x, smallest=2 ** (len(stages) + 1))
        x = Conv(self.widths[0], (4, 4), 4, "VALID", dtype=self.dtype, kernel_init=normal_init, name="stem_conv")(x)
        outputs = {"stem": (x := make_norm(self.dtype, "stem_norm")(x))}
        done, last = 0, sum(self.stage_sizes) - 1
        for stage, (size, width) in enumerate(stages, 1):
            rates = tuple(self.drop_rate * (done + index) / max(last, 1) for index in range(size))
            done += size
            x = ConvNeXtStage(width, rates, stage > 1, self.layer_scale_init, self.dtype, name=f"stage{stage}")(
                x, train
            )
            outputs[f"stage{stage}"] = x
        outputs["pooled"] = x = make_norm(self.dtype, "head_norm")(global_avg_pool(x, spatial_ndim=2))
        return outputs | {
            "logits": classifier(self.num_classes, dtype=self.dtype, kernel_init=normal_init, name="head")(x)
        }

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


def make_norm(dtype: Any, name: str) -> nn.LayerNorm:
    """A layer norm whose variance is computed about the mean, which is exact for a large mean."""
    return nn.LayerNorm(epsilon=1e-6, dtype=dtype, use_fast_variance=False, name=name)


# torchvision numbers stages and the downsampling between them consecutively: 1 is the first stage, 2 a downsampling.
TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        "stem_conv": "features.0.0",
        "stem_norm": "features.0.1",
        **{
            f"stage{stage}/{ours}": f"features.{2 * stage - 2 + between}.{theirs}"
            for stage in (1, 2, 3, 4)
            for between, ours, theirs in (
                (0, "downsample_norm", "0"),
                (0, "downsample", "1"),
                (1, r"block(\d+)/depthwise_conv", r"\1.block.0"),
                (1, r"block(\d+)/norm", r"\1.block.2"),
                (1, r"block(\d+)/expand", r"\1.block.3"),
                (1, r"block(\d+)/project", r"\1.block.5"),
                (1, r"block(\d+)/layer_scale", r"\1.layer_scale"),
            )
        },
        "head_norm": "classifier.0",
        "head": "classifier.2",
    },
    head="head",
    shapes={".*/layer_scale": (-1, 1, 1)},
)
TIMM = TorchNames(
    source="timm",
    modules={
        "stem_conv": "stem.0",
        "stem_norm": "stem.1",
        **{
            f"stage{stage}/{ours}": f"stages.{stage - 1}.{theirs}"
            for stage in (1, 2, 3, 4)
            for ours, theirs in {
                "downsample_norm": "downsample.0",
                "downsample": "downsample.1",
                r"block(\d+)/depthwise_conv": r"blocks.\1.conv_dw",
                r"block(\d+)/norm": r"blocks.\1.norm",
                r"block(\d+)/expand": r"blocks.\1.mlp.fc1",
                r"block(\d+)/project": r"blocks.\1.mlp.fc2",
                r"block(\d+)/layer_scale": r"blocks.\1.gamma",
            }.items()
        },
        "head_norm": "head.norm",
        "head": "head.fc",
    },
    head="head",
)

register(
    ModelInfo(
        name="convnext_tiny",
        paper="Liu, Mao, Wu, Feichtenhofer, Darrell, Xie: A ConvNet for the 2020s, 2022",
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=28_589_128,
        macs=4_455_531_264,
        accuracy="82.520 % ImageNet",
    ),
    functools.partial(ConvNeXt, stage_sizes=(3, 3, 9, 3), widths=(96, 192, 384, 768)),
    torch_names=(TORCHVISION, TIMM),
)
