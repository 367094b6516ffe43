"""Residual networks (He, Zhang, Ren and Sun 2015) for ImageNet and for CIFAR."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._axes import as_int
from jaxcnn._errors import check_choice
from jaxcnn._geometry import Stem
from jaxcnn.functional import global_avg_pool, max_pool
from jaxcnn.models._layers import as_images, classifier, he_fan_out, torch_bias, torch_kernel
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import BatchNorm, Conv

PAPER = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015"
Shortcut = Literal["projection", "zero_pad", "none"]
StridePlace = Literal["3x3", "1x1"]
BlockPadding = int | Literal["SAME"]
OutputStride = Literal[32, 16, 8, 4, 2]
STEM_STRIDES: dict[Stem, int] = {"7x7": 4, "3x3": 1}  # with the pooling that follows the 7x7 stem


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them (the paper's figure 5, left).

    Attributes:
        features: output channels.
        strides: step of the first convolution and of the shortcut.
        conv: creates a convolution without bias.
        norm: creates a norm.
        shortcut: as in ``ResNet``.
        padding: of the 3x3 convolutions.
        last_scale_init: initial scale of the last norm.
        stride_in: must be ``"3x3"``.
        dilation: must be 1.
    """

    expansion: ClassVar[int] = 1
    features: int
    strides: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    shortcut: Shortcut
    padding: BlockPadding
    last_scale_init: Any
    stride_in: StridePlace = "3x3"
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height / strides, width / strides, features)``."""
        if self.stride_in != "3x3":
            raise ValueError(f"stride_in={self.stride_in!r} is for bottlenecks; basic blocks support only '3x3'.")
        if self.dilation != 1:
            raise ValueError("output_stride below 32 is for bottlenecks; basic blocks have no dilated form.")
        y = self.conv(self.features, (3, 3), self.strides, self.padding, name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = self.conv(self.features, (3, 3), 1, self.padding, name="conv2")(y)
        y = self.norm(name="norm2", scale_init=self.last_scale_init)(y)
        return nn.relu(_add_shortcut(self, x, y))


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 and 1x1 and a shortcut around them (the paper's figure 5, right).

    Attributes:
        features: output channels, four times those of the first two convolutions.
        strides: step of the convolution that ``stride_in`` selects, and of the shortcut.
        conv: creates a convolution without bias.
        norm: creates a norm.
        shortcut: as in ``ResNet``.
        padding: of the 3x3 convolution.
        last_scale_init: initial scale of the last norm.
        stride_in: as in ``ResNet``.
        dilation: of the 3x3 convolution, whose padding is multiplied by it.
    """

    expansion: ClassVar[int] = 4
    features: int
    strides: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    shortcut: Shortcut
    padding: BlockPadding
    last_scale_init: Any
    stride_in: StridePlace = "3x3"
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height / strides, width / strides, features)``."""
        first, second = (1, self.strides) if self.stride_in == "3x3" else (self.strides, 1)
        y = self.conv(self.features // 4, (1, 1), first, name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        padding = self.padding if isinstance(self.padding, str) else self.dilation * self.padding
        y = self.conv(self.features // 4, (3, 3), second, padding, kernel_dilation=self.dilation, name="conv2")(y)
        y = nn.relu(self.norm(name="norm2")(y))
        y = self.conv(self.features, (1, 1), name="conv3")(y)
        y = self.norm(name="norm3", scale_init=self.last_scale_init)(y)
        return nn.relu(_add_shortcut(self, x, y))


def _add_shortcut(block: BasicBlock | Bottleneck, x: jax.Array, y: jax.Array) -> jax.Array:
    """``y`` plus the block's shortcut of ``x``."""
    if block.shortcut == "none":
        return y
    if x.shape == y.shape:
        return y + x
    if block.shortcut == "projection":
        x = block.conv(block.features, (1, 1), block.strides, name="shortcut_conv")(x)
        return y + block.norm(name="shortcut_norm")(x)
    x = x[..., :: block.strides, :: block.strides, :]
    more = y.shape[-1] - x.shape[-1]
    return y + jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, more),))


class ResNet(nn.Module):
    """A residual network: a stem, stages of blocks, global average pooling, a dense layer.

    ``resnet18`` to ``resnet152`` follow table 1 of the paper in the form of torchvision, whose weights load:
    bottlenecks have their stride in the 3x3 convolution (ResNet-50 "v1.5"; ``stride_in="1x1"`` is the paper's), and
    shortcuts that change the shape are projections with a norm (the paper's option B). The ``_cifar`` forms
    ``resnet20`` to ``resnet110`` follow section 4.2: a 3x3 stem, three stages of 16, 32 and 64 channels, shortcuts
    without parameters (option A: every second pixel, padded with channels of zeros). ``resnet18_cifar`` is the usual
    small-image form of ResNet-18: a 3x3 stem without pooling.

    Kernels are initialised from He's normal distribution with fan-out, the dense layer as in PyTorch. Images may have
    any size. ``features`` returns ``stem`` (before its pooling), ``stage1``, ..., ``pooled`` and ``logits``.

    Args:
        stage_sizes: number of blocks of each stage.
        block: ``BasicBlock`` or ``Bottleneck``.
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        width: channels of the stem; each stage has twice those of the stage before (four times with bottlenecks).
        stem: ``"7x7"`` with stride 2 and max pooling, or ``"3x3"``.
        shortcut: ``"projection"``, ``"zero_pad"``, or ``"none"`` for the plain networks of the paper.
        stride_in: which convolution of a bottleneck has the stride, ``"3x3"`` or ``"1x1"``.
        zero_init_last_scale: initialises every block as its shortcut (Goyal et al. 2017), which helps with large
            batches.
        same_padding: pads strided layers as in TensorFlow and the Flax examples, with one pixel less before.
        output_stride: largest stride of a map with respect to the image: 32, 16, 8 or 4, also 2 with the 3x3 stem.
            Stages that would have a larger stride have stride 1, and their 3x3 convolutions are dilated by 2, 4, ...,
            to read as much of the image as before; the first block of a stage has the dilation of the stage before, as
            in torchvision. Dilation requires bottlenecks.
        norm: creates a norm; replace it to change its momentum, or to share statistics over ``axis_name``.

    >>> from jaxcnn.models import create
    >>> variables = jax.eval_shape(create("resnet50").init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    25557032
    """

    stage_sizes: Sequence[int]
    block: type[BasicBlock] | type[Bottleneck]
    num_classes: int = 1000
    dtype: DTypeLike | None = None
    width: int = 64
    stem: Stem = "7x7"
    shortcut: Shortcut = "projection"
    stride_in: StridePlace = "3x3"
    zero_init_last_scale: bool = False
    same_padding: bool = False
    output_stride: OutputStride = 32
    norm: Callable[..., nn.Module] = functools.partial(BatchNorm, momentum=0.9)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem and after each stage, the pooled vector, and the logits."""
        x = as_images(x)
        check_choice(self.stem, get_args(Stem), name="stem")
        check_choice(self.shortcut, get_args(Shortcut), name="shortcut")
        check_choice(self.stride_in, get_args(StridePlace), name="stride_in")
        if as_int(self.width, name="width") < 1:
            raise ValueError(f"width={self.width} must be at least 1.")
        if self.output_stride not in get_args(OutputStride):
            known = ", ".join(map(str, get_args(OutputStride)))
            raise ValueError(f"output_stride={self.output_stride!r} is not known. Known: {known}.")
        if self.output_stride < STEM_STRIDES[self.stem]:
            raise ValueError(
                f"output_stride={self.output_stride} is less than {STEM_STRIDES[self.stem]}, the stride of the "
                f'{self.stem} stem. Use at least that, or stem="3x3".'
            )
        conv = functools.partial(Conv, use_bias=False, dtype=self.dtype, kernel_init=he_fan_out)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        if self.stem == "7x7":
            x = nn.relu(norm(name="stem_norm")(conv(self.width, (7, 7), 2, 3, name="stem_conv")(x)))
            outputs = {"stem": x}
            x = max_pool(x, (3, 3), strides=2, padding="SAME" if self.same_padding else 1)
        else:
            x = nn.relu(norm(name="stem_norm")(conv(self.width, (3, 3), 1, 1, name="stem_conv")(x)))
            outputs = {"stem": x}
        for stage, size in enumerate(self.stage_sizes, 1):
            for index in range(size):
                x = self._make_block(stage, index, conv, norm)(x)
            outputs[f"stage{stage}"] = x
        pooled = global_avg_pool(x, spatial_ndim=2)
        bias_init = torch_bias(pooled.shape[-1])
        head = classifier(
            self.num_classes, dtype=self.dtype, kernel_init=torch_kernel, bias_init=bias_init, name="head"
        )
        return outputs | {"pooled": pooled, "logits": head(pooled)}

    def _make_block(self, stage: int, index: int, conv: Any, norm: Any) -> nn.Module:
        stride = STEM_STRIDES[self.stem] * 2 ** (stage - 1)  # of the stage's map, unless output_stride is smaller
        strided = stage > 1 and stride <= self.output_stride
        return self.block(
            features=self.width * 2 ** (stage - 1) * self.block.expansion,
            strides=2 if strided and index == 0 else 1,
            dilation=max(1, (stride // 2 if index == 0 else stride) // self.output_stride),
            conv=conv,
            norm=norm,
            shortcut=self.shortcut,
            padding="SAME" if self.same_padding else 1,
            last_scale_init=nn.initializers.zeros if self.zero_init_last_scale else nn.initializers.ones,
            stride_in=self.stride_in,
            name=f"stage{stage}_block{index}",
        )

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


# name: block, blocks per stage, parameters, multiply-adds at 224x224, top-1 accuracy on ImageNet (torchvision, V1)
IMAGENET_FORMS: dict[str, tuple[Any, tuple[int, ...], int, int, str]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2), 11_689_512, 1_814_073_344, "69.758 %"),
    "resnet34": (BasicBlock, (3, 4, 6, 3), 21_797_672, 3_663_761_408, "73.314 %"),
    "resnet50": (Bottleneck, (3, 4, 6, 3), 25_557_032, 4_089_184_256, "76.130 %"),
    "resnet101": (Bottleneck, (3, 4, 23, 3), 44_549_160, 7_801_405_440, "77.374 %"),
    "resnet152": (Bottleneck, (3, 8, 36, 3), 60_192_808, 11_513_626_624, "78.312 %"),
}
# name: blocks in each of the three stages, parameters, multiply-adds at 32x32, test error on CIFAR-10 (paper, table 6)
CIFAR_FORMS = {
    "resnet20_cifar": (3, 269_722, 40_551_040, "91.25 %"),
    "resnet32_cifar": (5, 464_154, 68_862_592, "92.49 %"),
    "resnet44_cifar": (7, 658_586, 97_174_144, "92.83 %"),
    "resnet56_cifar": (9, 853_018, 125_485_696, "93.03 %"),
    "resnet110_cifar": (18, 1_727_962, 252_887_680, "93.39 %"),
}

# timm's names are the same.
TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        "stem_conv": "conv1",
        "stem_norm": "bn1",
        r"stage(\d)_block(\d+)/conv(\d)": r"layer\1.\2.conv\3",
        r"stage(\d)_block(\d+)/norm(\d)": r"layer\1.\2.bn\3",
        r"stage(\d)_block(\d+)/shortcut_conv": r"layer\1.\2.downsample.0",
        r"stage(\d)_block(\d+)/shortcut_norm": r"layer\1.\2.downsample.1",
        "head": "fc",
    },
    head="head",
)

for _name, (_block, _sizes, _parameters, _macs, _accuracy) in IMAGENET_FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(224, 224, 3),
            num_classes=1000,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} ImageNet",
        ),
        functools.partial(ResNet, stage_sizes=_sizes, block=_block),
        torch_names=(TORCHVISION,),
    )
for _name, (_blocks, _parameters, _macs, _accuracy) in CIFAR_FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(32, 32, 3),
            num_classes=10,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} CIFAR-10",
        ),
        functools.partial(
            ResNet, stage_sizes=(_blocks,) * 3, block=BasicBlock, width=16, stem="3x3", shortcut="zero_pad"
        ),
    )
register(
    ModelInfo(
        name="resnet18_cifar",
        paper=PAPER,
        input_shape=(32, 32, 3),
        num_classes=10,
        parameters=11_173_962,
        macs=555_422_720,
    ),
    functools.partial(ResNet, stage_sizes=(2, 2, 2, 2), block=BasicBlock, stem="3x3"),
    torch_names=(TORCHVISION,),
)
