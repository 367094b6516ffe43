"""Residual networks for segmentation: a fully convolutional ResNet, and DeepLabv3 (Chen et al. 2017)."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._errors import ShapeError
from jaxcnn._geometry import Stem
from jaxcnn.functional import global_avg_pool
from jaxcnn.models._layers import as_images, dropout_layer, require_classes, torch_bias, torch_kernel
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.models._resnet import TORCHVISION as RESNET_NAMES
from jaxcnn.models._resnet import Bottleneck, OutputStride, ResNet
from jaxcnn.nn import BatchNorm, Conv

FCN_PAPER = "Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, 2015"
DEEPLAB_PAPER = "Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image Segmentation, 2017"


class ConvUnit(nn.Module):
    """A convolution without bias, a norm, and ReLU."""

    features: int
    window: int
    dilation: int
    dtype: Any
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Conv(
            self.features,
            (self.window, self.window),
            padding=self.dilation * (self.window // 2),
            kernel_dilation=self.dilation,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=torch_kernel,
            name="conv",
        )(x)
        return nn.relu(self.norm(name="norm", dtype=self.dtype)(x))


class PyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling: one map from windows of several dilations and from the mean of the image.

    Attributes:
        features: channels of each branch and of the result.
        rates: dilations of the 3x3 convolutions; a 1x1 convolution and the mean are added.
        dropout_rate: of the result.
        dtype: type of the computation.
        norm: creates a norm.
    """

    features: int
    rates: Sequence[int]
    dropout_rate: float
    dtype: Any
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height, width, features)``."""
        norm = functools.partial(self.norm, use_running_average=not train)
        unit = functools.partial(ConvUnit, self.features, dtype=self.dtype, norm=norm)
        branches = [unit(1, 1, name="branch1x1")(x)]
        branches += [unit(3, rate, name=f"branch{rate}")(x) for rate in self.rates]
        if train and math.prod(x.shape[:-3]) == 1 and getattr(norm(), "axis_name", None) is None:
            raise ShapeError(
                f"the branch of the image's mean has one value a channel and image, which batch statistics set to zero "
                f"in a batch of one image ({x.shape=} of the last map). Train on at least two images a step."
            )
        mean = unit(1, 1, name="branch_mean")(global_avg_pool(x, spatial_ndim=2, keepdims=True))
        branches.append(jnp.broadcast_to(mean, (*x.shape[:-1], self.features)))
        x = unit(1, 1, name="project")(jnp.concatenate(branches, axis=-1))
        return dropout_layer(self.dropout_rate, train=train)(x)


class _Head(nn.Module):
    """A 3x3 unit, dropout, and scores of each position."""

    hidden: int
    num_classes: int
    dropout_rate: float
    dtype: Any
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = functools.partial(self.norm, use_running_average=not train)
        x = ConvUnit(self.hidden, 3, 1, dtype=self.dtype, norm=norm, name="unit")(x)
        x = dropout_layer(self.dropout_rate, train=train)(x)
        bias_init = torch_bias(self.hidden)
        return Conv(
            self.num_classes, (1, 1), dtype=self.dtype, kernel_init=torch_kernel, bias_init=bias_init, name="score"
        )(x)


class FCNResNet(nn.Module):
    """A residual network with a class for every pixel, in the form of torchvision, whose weights load.

    The backbone is a ``ResNet`` whose last map has ``output_stride``. A 3x3 convolution with a quarter of the channels
    reads it, and the scores are resized to the image by linear interpolation. With ``aux_head`` training also
    computes scores from the third stage, which ``features`` returns as ``aux``; torchvision adds their loss with weight
    0.5.

    ``features`` returns ``stage3``, ``stage4``, ``aux`` (in training, with ``aux_head``) and ``logits``.

    Args:
        num_classes: number of logits of each pixel, background included.
        dtype: type of the computation; parameters stay float32.
        stage_sizes: number of bottlenecks of each stage of the backbone.
        width: channels of the backbone's stem.
        stem: ``"7x7"`` with stride 4, or ``"3x3"`` without stride, for small images.
        output_stride: stride of the backbone's last map: 32, 16, 8 or 4, also 2 with the 3x3 stem.
        aux_head: whether there is an auxiliary head.
        dropout_rate: before the scores; training requires an rng named ``dropout``.
        norm: creates a norm.

    >>> x = jnp.zeros((1, 520, 520, 3))
    >>> for aux_head in (False, True):
    ...     variables = jax.eval_shape(FCNResNet(aux_head=aux_head).init, jax.random.key(0), x)
    ...     print(sum(leaf.size for leaf in jax.tree.leaves(variables["params"])))
    32957013
    35322218
    """

    num_classes: int = 21
    dtype: DTypeLike | None = None
    stage_sizes: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    stem: Stem = "7x7"
    output_stride: OutputStride = 8
    aux_head: bool = False
    dropout_rate: float = 0.1
    norm: Callable[..., nn.Module] = functools.partial(BatchNorm, momentum=0.9)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the last two stages, auxiliary logits in training, and the logits of all pixels."""
        x = as_images(x)
        require_classes(self.num_classes, instead='method="features" of a model with classes gives its maps')
        backbone = ResNet(
            self.stage_sizes,
            Bottleneck,
            num_classes=0,
            dtype=self.dtype,
            width=self.width,
            stem=self.stem,
            output_stride=self.output_stride,
            norm=self.norm,
            name="backbone",
        )
        maps = backbone.features(x, train)
        outputs = {name: maps[name] for name in ("stage3", "stage4")}
        if self.aux_head and (train or self.is_initializing()):
            scores = self._head(outputs["stage3"].shape[-1] // 4, "aux", 0.1)(outputs["stage3"], train)
            outputs["aux"] = resized(scores, x.shape)
        return outputs | {"logits": resized(self._scores(maps, train), x.shape)}

    def _scores(self, maps: Mapping[str, jax.Array], train: bool) -> jax.Array:
        x = maps["stage4"]
        return self._head(x.shape[-1] // 4, "head", self.dropout_rate)(x, train)

    def _head(self, hidden: int, name: str, dropout_rate: float) -> nn.Module:
        return _Head(hidden, self.num_classes, dropout_rate, self.dtype, self.norm, name=name)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, height, width, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


class DeepLabV3(FCNResNet):
    """DeepLabv3: ``FCNResNet`` whose last map is read at several dilations at once, in the form of torchvision.

    Args:
        num_classes: number of logits of each pixel, background included.
        dtype: type of the computation; parameters stay float32.
        stage_sizes: number of bottlenecks of each stage of the backbone.
        width: channels of the backbone's stem.
        stem: ``"7x7"`` with stride 4, or ``"3x3"`` without stride, for small images.
        output_stride: stride of the backbone's last map: 32, 16, 8 or 4, also 2 with the 3x3 stem.
        aux_head: whether there is an auxiliary head.
        dropout_rate: after the pyramid; training requires an rng named ``dropout``.
        norm: creates a norm. With batch statistics a training step requires at least two images.
        channels: of each branch of the pyramid and of the head.
        rates: dilations of the pyramid. The paper's are (12, 24, 36) with ``output_stride=8`` and half of them with 16.

    >>> x = jnp.zeros((1, 520, 520, 3))
    >>> for aux_head in (False, True):
    ...     variables = jax.eval_shape(DeepLabV3(aux_head=aux_head).init, jax.random.key(0), x)
    ...     print(sum(leaf.size for leaf in jax.tree.leaves(variables["params"])))
    39638869
    42004074
    """

    dropout_rate: float = 0.5
    channels: int = 256
    rates: Sequence[int] = (12, 24, 36)

    def _scores(self, maps: Mapping[str, jax.Array], train: bool) -> jax.Array:
        return self._head(self.channels, "head", 0.0)(self._pyramid(maps["stage4"], train), train)

    def _pyramid(self, x: jax.Array, train: bool) -> jax.Array:
        pyramid = PyramidPooling(self.channels, self.rates, self.dropout_rate, self.dtype, self.norm, name="pyramid")
        return pyramid(x, train)


def resized(scores: jax.Array, shape: Sequence[int]) -> jax.Array:
    """A map enlarged to the height and width of a shape, by linear interpolation between the centres of its pixels."""
    return jax.image.resize(scores, (*scores.shape[:-3], *shape[-3:-1], scores.shape[-1]), "linear", antialias=False)


def _names_of_head(ours: str, theirs: str) -> dict[str, str]:
    """torchvision's names of the layers of the head ``ours``, which are numbers below ``theirs``."""
    return {f"{ours}/unit/conv": f"{theirs}.0", f"{ours}/unit/norm": f"{theirs}.1", f"{ours}/score": f"{theirs}.4"}


_SHARED = {f"backbone/{ours}": f"backbone.{theirs}" for ours, theirs in RESNET_NAMES.modules.items()}
_SHARED |= _names_of_head("aux", "aux_classifier")
_SCORES = r"head/score|aux/score"
FCN_NAMES = TorchNames(
    source="torchvision",
    modules=_SHARED | _names_of_head("head", "classifier"),
    head=_SCORES,
)
DEEPLAB_NAMES = TorchNames(
    source="torchvision",
    modules=_SHARED
    | {
        "pyramid/branch1x1/conv": "classifier.0.convs.0.0",
        "pyramid/branch1x1/norm": "classifier.0.convs.0.1",
        **{
            f"pyramid/branch{rate}/{layer}": f"classifier.0.convs.{index}.{place}"
            for index, rate in enumerate((12, 24, 36), 1)
            for place, layer in enumerate(("conv", "norm"))
        },
        "pyramid/branch_mean/conv": "classifier.0.convs.4.1",
        "pyramid/branch_mean/norm": "classifier.0.convs.4.2",
        "pyramid/project/conv": "classifier.0.project.0",
        "pyramid/project/norm": "classifier.0.project.1",
        "head/unit/conv": "classifier.1",
        "head/unit/norm": "classifier.2",
        "head/score": "classifier.4",
    },
    head=_SCORES,
)

# name: module, names, paper, bottlenecks, parameters, multiply-adds at 520x520, mean IoU on COCO (torchvision)
FORMS: dict[str, tuple[Any, TorchNames, str, tuple[int, ...], int, int, str]] = {
    "fcn_resnet50": (FCNResNet, FCN_NAMES, FCN_PAPER, (3, 4, 6, 3), 32_957_013, 142_725_772_800, "60.5 %"),
    "fcn_resnet101": (FCNResNet, FCN_NAMES, FCN_PAPER, (3, 4, 23, 3), 51_949_141, 222_746_867_200, "63.7 %"),
    "deeplabv3_resnet50": (
        DeepLabV3,
        DEEPLAB_NAMES,
        DEEPLAB_PAPER,
        (3, 4, 6, 3),
        39_638_869,
        168_731_205_888,
        "66.4 %",
    ),
    "deeplabv3_resnet101": (
        DeepLabV3,
        DEEPLAB_NAMES,
        DEEPLAB_PAPER,
        (3, 4, 23, 3),
        58_630_997,
        248_752_300_288,
        "67.4 %",
    ),
}
for _name, (_module, _names, _paper, _sizes, _parameters, _macs, _accuracy) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=_paper,
            input_shape=(520, 520, 3),
            num_classes=21,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} mean IoU COCO val2017, classes of VOC",
        ),
        functools.partial(_module, stage_sizes=_sizes),
        torch_names=(_names,),
    )
