"""Residual networks for video: convolutions over frames, rows and columns (Tran et al. 2018)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._axes import as_int
from jaxcnn._errors import check_choice
from jaxcnn.functional import global_avg_pool, max_pool
from jaxcnn.models._layers import as_videos, classifier, he_fan_out, per_stage
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import BatchNorm, Conv

PAPER = (
    "Tran, Wang, Torresani, Ray, LeCun, Paluri: A Closer Look at Spatiotemporal Convolutions for Action Recognition, "
    "2018"
)
Kind = Literal["3d", "2d", "2+1d"]
TimePadding = Literal["zeros", "edge"]


def middle_features(in_features: int, features: int) -> int:
    """Channels within a (2+1)-D convolution that has the number of parameters of a 3-D convolution (section 3.5).

    >>> middle_features(64, 64), middle_features(64, 128)
    (144, 230)
    """
    return 27 * in_features * features // (9 * in_features + 3 * features)


def video_conv(
    features: int,
    window: tuple[int, int, int],
    strides: tuple[int, int, int] = (1, 1, 1),
    *,
    time_padding: TimePadding,
    dtype: Any,
    name: str,
) -> Callable[[jax.Array], jax.Array]:
    """A convolution of videos without bias, padded to keep sizes at stride 1."""
    frames, *sides = (size // 2 for size in window)
    repeated = frames if time_padding == "edge" else 0
    padding = (frames - repeated, *sides)
    layer = Conv(features, window, strides, padding, use_bias=False, kernel_init=he_fan_out, dtype=dtype, name=name)

    def apply(x: jax.Array) -> jax.Array:
        if repeated:
            x = jnp.pad(x, [(0, 0)] * (x.ndim - 4) + [(repeated, repeated)] + [(0, 0)] * 3, mode="edge")
        return layer(x)

    return apply


class VideoBlock(nn.Module):
    """Two 3x3x3 convolutions, or their 2-D or (2+1)-D replacements, and a shortcut around them.

    Attributes:
        features: output channels.
        strides: step of the first convolution and of the shortcut.
        kind: as in ``VideoResNet``.
        conv: creates a convolution.
        norm: creates a norm.
    """

    features: int
    strides: int
    kind: Kind
    conv: Callable[..., Callable[[jax.Array], jax.Array]]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, frames, height, width, channels)`` to the map of ``features`` channels."""
        # Both convolutions of a block have the middle channels of the first one, as in torchvision.
        middle = middle_features(x.shape[-1], self.features)
        y = nn.relu(self.norm(name="norm1")(self._convolved(x, self.strides, middle, 1)))
        y = self.norm(name="norm2")(self._convolved(y, 1, middle, 2))
        if x.shape != y.shape:
            over_time = 1 if self.kind == "2d" else self.strides
            strides = (over_time, self.strides, self.strides)
            x = self.conv(self.features, (1, 1, 1), strides, name="shortcut_conv")(x)
            x = self.norm(name="shortcut_norm")(x)
        return nn.relu(x + y)

    def _convolved(self, x: jax.Array, strides: int, middle: int, index: int) -> jax.Array:
        if self.kind == "3d":
            return self.conv(self.features, (3, 3, 3), (strides, strides, strides), name=f"conv{index}")(x)
        in_space = (1, strides, strides)
        if self.kind == "2d":
            return self.conv(self.features, (1, 3, 3), in_space, name=f"conv{index}")(x)
        x = self.conv(middle, (1, 3, 3), in_space, name=f"conv{index}_space")(x)
        x = nn.relu(self.norm(name=f"norm{index}_space")(x))
        return self.conv(self.features, (3, 1, 1), (strides, 1, 1), name=f"conv{index}_time")(x)


class VideoResNet(nn.Module):
    """A residual network of 18 layers for video, in the form of torchvision, whose weights load.

    ``r3d_18`` has 3-D convolutions; ``mc3_18`` has them in the stem and the first stage, and then 2-D convolutions of
    each frame; ``r2plus1d_18`` replaces each 3-D convolution by a convolution of each frame and a convolution over
    time. Stages after the first halve the height and the width, and the number of frames where their convolutions cover
    several frames.

    Videos are ``(*batch, frames, height, width, channels)`` of any size; those of the paper are 16x112x112. Kernels are
    initialised from He's normal distribution with fan-out, the dense layer from a normal distribution with standard
    deviation 0.01. ``features`` returns ``stem``, ``stage1``, ..., ``pooled`` and ``logits``.

    Args:
        kinds: of the convolutions of each stage: ``"3d"``; ``"2d"``, which read one frame; or ``"2+1d"``.
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        stage_sizes: number of blocks of each stage.
        width: channels of the stem; each stage has twice those of the stage before.
        factored_stem: whether the stem is a convolution of each frame and one over time.
        stem_pool: whether a 3x3 max pool with stride 2 of each frame follows the stem, as in image networks; with it,
            ``inflate`` turns the weights of ``resnet18`` into those of ``r3d_18``.
        time_padding: of the convolutions over time: ``"zeros"``, or ``"edge"``, with which a still video gives the
            same map in every frame.
        norm: creates a norm.

    >>> from jaxcnn.models import create
    >>> variables = jax.eval_shape(create("r3d_18").init, jax.random.key(0), jnp.zeros((1, 16, 112, 112, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    33371472
    """

    kinds: Sequence[Kind]
    num_classes: int = 400
    dtype: DTypeLike | None = None
    stage_sizes: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    factored_stem: bool = False
    stem_pool: bool = False
    time_padding: TimePadding = "zeros"
    norm: Callable[..., nn.Module] = functools.partial(BatchNorm, momentum=0.9)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem and after each stage, the pooled vector, and the logits."""
        x = as_videos(x)
        check_choice(self.time_padding, get_args(TimePadding), name="time_padding")
        stages = per_stage(kinds=self.kinds, stage_sizes=self.stage_sizes)
        for kind, _ in stages:
            check_choice(kind, get_args(Kind), name="kind")
        if as_int(self.width, name="width") < 1:
            raise ValueError(f"width={self.width} must be at least 1.")
        conv = functools.partial(video_conv, time_padding=self.time_padding, dtype=self.dtype)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        if self.factored_stem:
            # 45 channels in the paper, where the stem has 64.
            middle = max(45 * self.width // 64, 1)
            x = nn.relu(norm(name="stem_norm_space")(conv(middle, (1, 7, 7), (1, 2, 2), name="stem_conv_space")(x)))
            x = conv(self.width, (3, 1, 1), name="stem_conv_time")(x)
        else:
            x = conv(self.width, (3, 7, 7), (1, 2, 2), name="stem_conv")(x)
        x = nn.relu(norm(name="stem_norm")(x))
        outputs = {"stem": x}
        if self.stem_pool:
            x = max_pool(x, (1, 3, 3), strides=(1, 2, 2), padding=(0, 1, 1))
        for stage, (kind, size) in enumerate(stages, 1):
            for index in range(size):
                x = VideoBlock(
                    features=self.width * 2 ** (stage - 1),
                    strides=2 if stage > 1 and index == 0 else 1,
                    kind=kind,
                    conv=conv,
                    norm=norm,
                    name=f"stage{stage}_block{index}",
                )(x)
            outputs[f"stage{stage}"] = x
        pooled = global_avg_pool(x, spatial_ndim=3)
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01), name="head")
        return outputs | {"pooled": pooled, "logits": head(pooled)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of videos ``(*batch, frames, height, width, channels)``."""
        return self.features(x, train)["logits"]


TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        "stem_conv": "stem.0",
        "stem_norm": "stem.1",
        r"stage(\d)_block(\d+)/conv(\d)": r"layer\1.\2.conv\3.0",
        r"stage(\d)_block(\d+)/norm(\d)": r"layer\1.\2.conv\3.1",
        r"stage(\d)_block(\d+)/shortcut_conv": r"layer\1.\2.downsample.0",
        r"stage(\d)_block(\d+)/shortcut_norm": r"layer\1.\2.downsample.1",
        "head": "fc",
    },
    head="head",
)
FACTORED = TorchNames(
    source="torchvision",
    modules={
        **TORCHVISION.modules,
        "stem_conv_space": "stem.0",
        "stem_norm_space": "stem.1",
        "stem_conv_time": "stem.3",
        "stem_norm": "stem.4",
        r"stage(\d)_block(\d+)/conv(\d)_space": r"layer\1.\2.conv\3.0.0",
        r"stage(\d)_block(\d+)/norm(\d)_space": r"layer\1.\2.conv\3.0.1",
        r"stage(\d)_block(\d+)/conv(\d)_time": r"layer\1.\2.conv\3.0.3",
    },
    head="head",
)

# name: kinds of the stages, options, names, parameters, multiply-adds, top-1 accuracy on Kinetics-400 (torchvision)
FORMS: dict[str, tuple[tuple[Kind, ...], dict[str, Any], TorchNames, int, int, str]] = {
    "r3d_18": (("3d",) * 4, {}, TORCHVISION, 33_371_472, 40_696_553_472, "63.200 %"),
    "mc3_18": (("3d", "2d", "2d", "2d"), {}, TORCHVISION, 11_695_440, 43_342_635_008, "63.960 %"),
    "r2plus1d_18": (("2+1d",) * 4, {"factored_stem": True}, FACTORED, 31_505_325, 40_519_080_960, "67.463 %"),
}
for _name, (_kinds, _options, _names, _parameters, _macs, _accuracy) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(16, 112, 112, 3),
            num_classes=400,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} Kinetics-400, clips",
        ),
        functools.partial(VideoResNet, kinds=_kinds, **_options),
        torch_names=(_names,),
    )
