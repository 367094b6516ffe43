"""The networks of the five training steps as written with Flax's own layers.

Each has the same variables, with the same names, as the corresponding network of ``jaxcnn.models``, so that both start
with the same values and must compute the same loss and the same gradients.
"""

import functools
from typing import Any

import jax
from flax import linen as nn

from jaxcnn import models

Gelu = functools.partial(nn.gelu, approximate=False)


class LeNet5(nn.Module):
    """Two convolutions with pools, a third with a window of the whole map, two dense layers."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits of images."""
        conv = functools.partial(nn.Conv, kernel_size=(5, 5), padding="VALID")
        x = nn.max_pool(nn.relu(conv(6, name="c1")(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(conv(16, name="c3")(x)), (2, 2), (2, 2))
        x = nn.relu(conv(120, name="c5")(x)).reshape(len(x), 120)
        x = nn.relu(nn.Dense(84, name="f6")(x))
        return nn.Dense(self.num_classes, name="output")(x)


class CifarSpeedrun(nn.Module):
    """Whitening whose kernel is frozen, three groups of two convolutions, a dense layer."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits of images."""
        x = Whitening(name="whiten")(x)
        x = Gelu(x)
        for group, width in enumerate((64, 256, 256), 1):
            x = SpeedrunGroup(width, name=f"group{group}")(x, train)
        x = nn.max_pool(x, (3, 3), (3, 3)).reshape(len(x), -1)
        return nn.Dense(self.num_classes, use_bias=False, name="head")(x) / 256


class Whitening(nn.Module):
    """A 2x2 convolution whose kernel gets no gradient."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images of 3 channels to 24."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (2, 2, 3, 24))
        bias = self.param("bias", nn.initializers.zeros, (24,))
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, jax.lax.stop_gradient(kernel), (1, 1), "VALID", dimension_numbers=layout)
        return x + bias[None, None, None]


class SpeedrunGroup(nn.Module):
    """Convolution, pool, norm, GELU, convolution, norm, GELU."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps images to half their size."""
        conv = functools.partial(nn.Conv, self.features, (3, 3), padding=1, use_bias=False)
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.6, epsilon=1e-12, use_scale=False)
        x = Gelu(norm(name="norm1")(nn.max_pool(conv(name="conv1")(x), (2, 2), (2, 2))))
        return Gelu(norm(name="norm2")(conv(name="conv2")(x)))


class ResNet18Cifar(nn.Module):
    """A 3x3 stem and four stages of two basic blocks."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits of images."""
        x = nn.Conv(64, (3, 3), padding=1, use_bias=False, name="stem_conv")(x)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, name="stem_norm")(x))
        for stage in range(4):
            for index in range(2):
                strides = 2 if stage and not index else 1
                x = BasicBlock(64 * 2**stage, strides, name=f"stage{stage + 1}_block{index}")(x, train)
        return nn.Dense(self.num_classes, name="head")(x.mean((1, 2)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    features: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps images to ``1 / strides`` of their size."""
        conv = functools.partial(nn.Conv, self.features, use_bias=False)
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9)
        y = nn.relu(norm(name="norm1")(conv((3, 3), self.strides, 1, name="conv1")(x)))
        y = norm(name="norm2")(conv((3, 3), 1, 1, name="conv2")(y))
        if x.shape != y.shape:
            x = norm(name="shortcut_norm")(conv((1, 1), self.strides, name="shortcut_conv")(x))
        return nn.relu(x + y)


class MobileNetV2(nn.Module):
    """A stem, seventeen inverted residuals, a 1x1 convolution, a dense layer."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits of images."""
        conv = functools.partial(nn.Conv, use_bias=False)
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9)
        x = nn.relu6(norm(name="stem_norm")(conv(32, (3, 3), 2, 1, name="stem_conv")(x)))
        for stage, (expansion, channels, blocks, strides) in enumerate(models.MobileNetV2().stages, 1):
            for index in range(blocks):
                block = InvertedResidual(
                    channels,
                    expansion,
                    1 if index else strides,
                    name=f"stage{stage}_block{index}",
                )
                x = block(x, train)
        x = nn.relu6(norm(name="last_norm")(conv(1280, (1, 1), name="last_conv")(x)))
        return nn.Dense(self.num_classes, name="head")(x.mean((1, 2)))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection."""

    features: int
    expansion: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps images to ``1 / strides`` of their size."""
        conv = functools.partial(nn.Conv, use_bias=False)
        norm = functools.partial(nn.BatchNorm, not train, momentum=0.9)
        y, width = x, x.shape[-1] * self.expansion
        if self.expansion != 1:
            y = nn.relu6(norm(name="expand_norm")(conv(width, (1, 1), name="expand_conv")(y)))
        y = conv(width, (3, 3), self.strides, 1, feature_group_count=width, name="depthwise_conv")(y)
        y = nn.relu6(norm(name="depthwise_norm")(y))
        y = norm(name="project_norm")(conv(self.features, (1, 1), name="project_conv")(y))
        return x + y if x.shape == y.shape else y


class ConvNeXtStage(nn.Module):
    """ConvNeXt-Tiny's patches and first stage, followed by a dense layer."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits of images."""
        norm = functools.partial(nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)
        x = norm(name="stem_norm")(nn.Conv(96, (4, 4), 4, "VALID", name="stem_conv")(x))
        x = ConvNeXtBlocks(3, name="stage1")(x)
        return nn.Dense(self.num_classes, name="head")(norm(name="head_norm")(x.mean((1, 2))))


class ConvNeXtBlocks(nn.Module):
    """A sequence of blocks."""

    count: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images to the same shape."""
        for index in range(self.count):
            x = ConvNeXtBlock(name=f"block{index}")(x)
        return x


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, norm, two dense layers, layer scale, a shortcut."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images to the same shape."""
        channels = x.shape[-1]
        y = nn.Conv(channels, (7, 7), padding=3, feature_group_count=channels, name="depthwise_conv")(x)
        y = nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name="norm")(y)
        y = nn.Dense(channels, name="project")(Gelu(nn.Dense(4 * channels, name="expand")(y)))
        return x + y * self.param("layer_scale", nn.initializers.constant(1e-6), (channels,))[None, None, None]


MODELS: dict[str, Any] = {
    "lenet5": LeNet5,
    "cifar_speedrun": CifarSpeedrun,
    "resnet18_cifar": ResNet18Cifar,
    "mobilenet_v2": MobileNetV2,
    "convnext_stage": ConvNeXtStage,
}
