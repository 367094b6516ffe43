"""Fully convolutional networks: VGG-16 for segmentation (Long, Shelhamer and Darrell 2015)."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._errors import ShapeError
from jaxcnn.functional import max_pool
from jaxcnn.models._layers import as_images, dropout_layer, he_fan_out, per_stage, require_classes
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv, ConvTranspose

PAPER = "Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, 2015"
# The offset of the image in the last up-sampled map, by its stride, due to the padding of 100.
OFFSETS = {32: 19, 16: 27, 8: 31}
# The offset of the up-sampled map in the scores of the pools, for the same reason.
SKIP_OFFSETS = {4: 5, 3: 9}


def bilinear(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """An initial kernel of up-convolutions, ``(window, window, channels, channels)``: bilinear interpolation.

    Along an axis tap ``i`` is ``1 - |i - centre| / stride``, with ``stride = window / 2`` for an even window.

    >>> bilinear(jax.random.key(0), (4, 4, 1, 1))[0, :, 0, 0]
    Array([0.0625, 0.1875, 0.1875, 0.0625], dtype=float32)
    """
    taps = []
    for size in shape[:2]:
        factor = (size + 1) // 2
        centre = factor - 1 if size % 2 else factor - 0.5
        taps.append(1 - np.abs(np.arange(size) - centre) / factor)
    window = taps[0][:, None] * taps[1]
    return jnp.asarray(window[:, :, None, None] * np.eye(shape[2], shape[3]), dtype)


class FCN(nn.Module):
    """VGG-16 as a fully convolutional network: a class for every pixel of an image of any size.

    ``fcn32s_vgg16`` computes scores of the last map and up-samples them by 32; ``fcn16s_vgg16`` and ``fcn8s_vgg16``
    up-sample in steps and add the scores of pool4, and of pool4 and pool3 (figure 3 of the paper). As in the authors'
    networks the image is padded by 100 on every side, pools round up, and the result is cropped to the image.

    Up-convolutions are initialised as bilinear interpolation and have no bias. All of them are trained; the paper keeps
    the last one fixed, for which a mask in the optimizer is required. Score layers are initialised with zero, so that
    an additional skip does not change the initial network. Convolutions have the same names as in ``vgg16``, and
    ``params_from_vgg`` converts the parameters of a trained VGG-16.

    ``features`` returns ``pool1`` to ``pool5``, ``fc6``, ``fc7``, ``score`` and ``logits``.

    Args:
        num_classes: number of logits of each pixel, background included.
        dtype: type of the computation; parameters stay float32.
        stride: of the last up-convolution: 32, 16 or 8.
        stage_sizes: number of convolutions of each stage.
        widths: channels of each stage.
        hidden: channels of ``fc6`` and ``fc7``.
        dropout_rate: dropout rate of ``fc6`` and ``fc7``; training requires an rng named ``dropout``.

    >>> x = jnp.zeros((1, 500, 375, 3))
    >>> variables = jax.eval_shape(FCN(stride=8).init, jax.random.key(0), x)
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    134489759
    >>> jax.eval_shape(FCN(stride=8).apply, variables, x).shape
    (1, 500, 375, 21)
    """

    num_classes: int = 21
    dtype: DTypeLike | None = None
    stride: int = 32
    stage_sizes: Sequence[int] = (2, 2, 3, 3, 3)
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dropout_rate: float = 0.5

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after each pool and each hidden layer, the scores of the last map, and the logits of all pixels."""
        x = as_images(x)
        require_classes(self.num_classes, instead='method="features" of a model with classes gives its maps')
        if self.stride not in OFFSETS:
            raise ValueError(f"stride={self.stride!r} is not known. Known: 32, 16, 8.")
        stages = per_stage(count=5, stage_sizes=self.stage_sizes, widths=self.widths)
        image, outputs = x.shape, {}
        conv = functools.partial(Conv, dtype=self.dtype, kernel_init=he_fan_out)
        for stage, (size, width) in enumerate(stages, 1):
            for index in range(1, size + 1):
                padding = 100 if (stage, index) == (1, 1) else 1
                x = nn.relu(conv(width, (3, 3), 1, padding, name=f"conv{stage}_{index}")(x))
            outputs[f"pool{stage}"] = x = max_pool(x, (2, 2), strides=2, ceil_mode=True)
        dropout = dropout_layer(self.dropout_rate, train=train)
        outputs["fc6"] = x = nn.relu(conv(self.hidden, (7, 7), padding="VALID", name="fc6")(x))
        outputs["fc7"] = x = nn.relu(conv(self.hidden, (1, 1), name="fc7")(dropout(x)))
        outputs["score"] = x = self._score("score")(dropout(x))
        for pool in {32: (), 16: (4,), 8: (4, 3)}[self.stride]:
            x = self._enlarge(4, 2, f"upscore_pool{pool + 1}")(x)
            scores = self._score(f"score_pool{pool}")(outputs[f"pool{pool}"])
            x = x + _crop(scores, SKIP_OFFSETS[pool], x.shape)
        x = self._enlarge(2 * self.stride, self.stride, "upscore")(x)
        return outputs | {"logits": _crop(x, OFFSETS[self.stride], image)}

    def _score(self, name: str) -> nn.Module:
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, kernel_init=nn.initializers.zeros, name=name)

    def _enlarge(self, window: int, stride: int, name: str) -> nn.Module:
        return ConvTranspose(
            self.num_classes,
            (window, window),
            (stride, stride),
            "VALID",
            use_bias=False,
            dtype=self.dtype,
            kernel_init=bilinear,
            name=name,
        )

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, height, width, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


def params_from_vgg(params: Mapping[str, Any], vgg: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an ``FCN`` with those of a trained VGG network in every layer that both have.

    The first dense layer of VGG reads 7x7 positions, so it is a 7x7 convolution; the second is a 1x1 one.

    Args:
        params: of an ``FCN``; its score and up-sampling layers are not changed.
        vgg: of a ``VGG`` with the same stages.

    Raises:
        ShapeError: a layer of VGG has other sizes than the FCN's.

    >>> from jaxcnn.models import VGG
    >>> sizes = {"stage_sizes": (1, 1, 1, 1, 1), "widths": (1, 2, 2, 2, 2), "hidden": 3}
    >>> x, key = jnp.zeros((1, 32, 32, 3)), jax.random.key(0)
    >>> vgg = jax.jit(VGG(num_classes=5, **sizes).init)(key, x)["params"]
    >>> mixed = params_from_vgg(jax.jit(FCN(**sizes).init)(key, x)["params"], vgg)
    >>> mixed["fc6"]["kernel"].shape, mixed["score"]["kernel"].shape
    ((7, 7, 2, 3), (1, 1, 3, 21))
    """
    mixed = dict(params)
    for name in (name for name in params if name in vgg):
        kernel, bias = vgg[name]["kernel"], vgg[name]["bias"]
        shape = params[name]["kernel"].shape
        if kernel.size != np.prod(shape) or kernel.shape[-1] != shape[-1]:
            raise ShapeError(f"{name} of VGG has a kernel {kernel.shape}, the FCN requires {shape}.")
        mixed[name] = {"kernel": jnp.reshape(kernel, shape), "bias": bias}
    return mixed


def _crop(x: jax.Array, offset: int, shape: Sequence[int]) -> jax.Array:
    """The part of a map with the height and width of a shape, starting at an offset."""
    return x[..., offset : offset + shape[-3], offset : offset + shape[-2], :]


# stride of the last up-convolution: parameters, multiply-adds at 500x500, mean intersection over union (table 3)
FORMS = {
    32: (136_152_917, 181_365_854_976, "59.4 %"),
    16: (134_815_994, 181_448_086_272, "62.4 %"),
    8: (134_489_759, 181_529_034_048, "62.7 %"),
}
for _stride, (_parameters, _macs, _accuracy) in FORMS.items():
    register(
        ModelInfo(
            name=f"fcn{_stride}s_vgg16",
            paper=PAPER,
            input_shape=(500, 500, 3),
            num_classes=21,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} mean IU PASCAL VOC 2011",
        ),
        functools.partial(FCN, stride=_stride),
    )
