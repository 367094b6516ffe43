"""DeepLabv3+ (Chen et al. 2018): DeepLabv3 with a decoder that also reads an early map of the backbone."""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxcnn.models._deeplab import ConvUnit, DeepLabV3, resized
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.models._resnet import OutputStride

PAPER = "Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable Convolution, 2018"


class DeepLabV3Plus(DeepLabV3):
    """DeepLabv3 with the decoder of DeepLabv3+, which refines the borders of objects.

    The result of the pyramid is resized to the map of the first stage and concatenated with a 1x1 convolution of it.
    Two 3x3 convolutions read both, and their scores are resized to the image (section 3.1 and figure 2 of the paper).
    The convolutions of the pyramid and of the decoder are not separable, as in the paper's networks with a ResNet.

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
        channels: of each branch of the pyramid, and of the decoder.
        rates: dilations of the pyramid. The paper's are (6, 12, 18) with ``output_stride=16``.
        early_channels: channels of the 1x1 convolution of the map of the first stage.

    >>> x = jnp.zeros((1, 65, 65, 3))
    >>> variables = jax.eval_shape(DeepLabV3Plus().init, jax.random.key(0), x)
    >>> variables["params"]["early"]["conv"]["kernel"].shape, variables["params"]["fuse"]["conv"]["kernel"].shape
    ((1, 1, 256, 48), (3, 3, 304, 256))
    """

    output_stride: OutputStride = 16
    dropout_rate: float = 0.1
    rates: Sequence[int] = (6, 12, 18)
    early_channels: int = 48

    def _scores(self, maps: Mapping[str, jax.Array], train: bool) -> jax.Array:
        norm = functools.partial(self.norm, use_running_average=not train)
        unit = functools.partial(ConvUnit, dilation=1, dtype=self.dtype, norm=norm)
        early = unit(self.early_channels, 1, name="early")(maps["stage1"])
        late = resized(self._pyramid(maps["stage4"], train), early.shape)
        x = unit(self.channels, 3, name="fuse")(jnp.concatenate([late, early], axis=-1))
        return self._head(self.channels, "head", 0.0)(x, train)


for _name, _sizes, _parameters, _macs in (
    ("deeplabv3plus_resnet50", (3, 4, 6, 3), 40_352_181, 72_194_808_256),
    ("deeplabv3plus_resnet101", (3, 4, 23, 3), 59_344_309, 92_820_363_712),
):
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(513, 513, 3),
            num_classes=21,
            parameters=_parameters,
            macs=_macs,
        ),
        functools.partial(DeepLabV3Plus, stage_sizes=_sizes),
    )
