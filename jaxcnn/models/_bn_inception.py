"""The Inception networks of the batch normalisation paper (Ioffe and Szegedy 2015)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._errors import check_choice
from jaxcnn._geometry import Stem
from jaxcnn.functional import avg_pool, global_avg_pool, local_response_norm, max_pool
from jaxcnn.models._layers import Branches, ConvUnit, as_images, classifier, dropout_layer, scaled
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import BatchNorm, DepthwiseConv

PAPER = "Ioffe, Szegedy: Batch Normalization: Accelerating Deep Network Training, 2015"
# Figure 5 of the paper. Of each block: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool projection. Those
# without 1x1 and projection halve the size.
BLOCKS = (
    ("3a", (64, 64, 64, 64, 96, 32)),
    ("3b", (64, 64, 96, 64, 96, 64)),
    ("3c", (0, 128, 160, 64, 96, 0)),
    ("4a", (224, 64, 96, 96, 128, 128)),
    ("4b", (192, 96, 128, 96, 128, 128)),
    ("4c", (160, 128, 160, 128, 160, 96)),
    ("4d", (96, 128, 192, 160, 192, 96)),
    ("4e", (0, 128, 192, 192, 256, 0)),
    ("5a", (352, 192, 320, 160, 224, 128)),
    ("5b", (352, 192, 320, 192, 224, 128)),
)
# The Caffe model and its derivatives have 128 channels for the pools of blocks 4c and 4d.
CAFFE_BLOCKS = tuple((name, (*row[:5], 128) if name in ("4c", "4d") else row) for name, row in BLOCKS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperRun:
    """The training and the result of one of the paper's five networks, with batches of 32.

    Attributes:
        learning_rate: initial rate of stochastic gradient descent with momentum.
        steps: millions of steps until the validation accuracy is 72.2 %; None if it never is.
        accuracy: the highest validation accuracy, in per cent.
    """

    learning_rate: float
    steps: float | None
    accuracy: float


# Section 4.2.2 and the table of figure 3. BN-x5 and BN-x30 are one network at two learning rates.
PAPER_RUNS: Mapping[str, PaperRun] = {
    "inception_2015": PaperRun(learning_rate=0.0015, steps=31.0, accuracy=72.2),
    "bn_baseline": PaperRun(learning_rate=0.0015, steps=13.3, accuracy=72.7),
    "bn_x5": PaperRun(learning_rate=0.0075, steps=2.1, accuracy=73.0),
    "bn_x30": PaperRun(learning_rate=0.045, steps=2.7, accuracy=74.8),
    "bn_x5_sigmoid": PaperRun(learning_rate=0.0075, steps=None, accuracy=69.8),
}
"""The networks of section 4.2 of the batch norm paper, by name: starting rate, million steps, and top-1 accuracy."""


class BNInception(nn.Module):
    """The Inception network of 2015: two 3x3 convolutions instead of a 5x5, and batch normalisation.

    ``bn_inception`` is the form of the published Caffe model: its convolutions have a bias in addition to the norm, its
    stem is a plain convolution, and the pool projections of blocks 4c and 4d have 128 channels instead of the 96 of the
    figure. It has 11,295,240 parameters.

    The five networks of the paper follow its figure 5, with a separable stem as described in the text (eight 7x7
    filters for each colour, then 1x1):

    - ``inception_2015`` without norms, with biases, response normalisation and dropout;
    - ``bn_baseline`` the same with a norm before each nonlinearity;
    - ``bn_x5`` and ``bn_x30`` without response normalisation and dropout (section 4.2.1), the same network trained with
      5 and 30 times the learning rate (``PAPER_RUNS`` lists rates and results);
    - ``bn_x5_sigmoid`` with the logistic function in place of every rectifier.

    The paper states 13.6 million parameters without a breakdown; there is no auxiliary classifier here. Average pools
    include padded zeros, as in Caffe; the last block has a max pool. Images are at least 15x15. ``features`` returns
    ``stem``, ``inception3a`` to ``inception5b``, ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        norm: creates a norm; None for no norms.
        use_bias: whether convolutions have biases.
        stem: ``"7x7"`` with stride 2, two more convolutions and two pools; or ``"3x3"``, one convolution and one pool,
            for images as small as those of CIFAR.
        separable_stem: whether the 7x7 convolution is separable.
        response_norm: whether the stem has local response normalisation.
        dropout_rate: fraction of the pooled features dropped in training; requires an rng named ``dropout``.
        activation: the nonlinearity.
        width: multiplies the channels of every layer.
        blocks: rows of the paper's figure 5 to build.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(BNInception().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    11295240
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    norm: Callable[..., nn.Module] | None = functools.partial(BatchNorm, momentum=0.9)
    use_bias: bool = True
    stem: Stem = "7x7"
    separable_stem: bool = False
    response_norm: bool = False
    dropout_rate: float = 0.0
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    width: float = 1.0
    blocks: Sequence[tuple[str, Sequence[int]]] = CAFFE_BLOCKS

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem and each block, the pooled vector, and the logits."""
        x = as_images(x, smallest=15)
        check_choice(self.stem, get_args(Stem), name="stem")
        unit = self._unit(train)
        x = self._first(x, unit)
        if self.stem == "7x7":
            x = self._response_norm(max_pool(x, (3, 3), strides=2, ceil_mode=True))
            x = unit(scaled(64, self.width), 1, name="conv2")(x)
            x = unit(scaled(192, self.width), 3, name="conv3")(x)
        x = self._response_norm(x)
        outputs = {"stem": x}
        x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
        for name, row in self.blocks:
            outputs[f"inception{name}"] = x = self._block(name, row, unit)(x)
        outputs["pooled"] = x = global_avg_pool(x, spatial_ndim=2)
        x = dropout_layer(self.dropout_rate, train=train)(x)
        return outputs | {"logits": classifier(self.num_classes, dtype=self.dtype, name="head")(x)}

    def _unit(self, train: bool) -> Callable[..., nn.Module]:
        norm = None
        if self.norm is not None:
            norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        return functools.partial(
            ConvUnit, norm=norm, use_bias=self.use_bias, activation=self.activation, dtype=self.dtype
        )

    def _first(self, x: jax.Array, unit: Callable[..., nn.Module]) -> jax.Array:
        """The first convolution."""
        channels = scaled(64, self.width)
        if self.stem == "3x3":
            return unit(channels, 3, name="conv1")(x)
        if not self.separable_stem:
            return unit(channels, 7, 2, name="conv1")(x)
        x = DepthwiseConv(
            (7, 7), channel_multiplier=8, strides=2, padding=3, use_bias=False, dtype=self.dtype, name="conv1_depthwise"
        )(x)
        return unit(channels, 1, name="conv1")(x)

    def _response_norm(self, x: jax.Array) -> jax.Array:
        return local_response_norm(x) if self.response_norm else x

    def _block(self, name: str, row: Sequence[int], unit: Callable[..., nn.Module]) -> nn.Module:
        one, reduce, three, double_reduce, double, projection = (n and scaled(n, self.width) for n in row)
        strides = 1 if one else 2
        chains: list[Any] = [("branch1", ((one, 1, 1),))] if one else []
        chains.append(("branch2", ((reduce, 1, 1), (three, 3, strides))))
        chains.append(("branch3", ((double_reduce, 1, 1), (double, 3, 1), (double, 3, strides))))
        chains.append(("branch4", ((projection, 1, 1),) if projection else ()))
        if strides == 2:
            # For even sizes these are the windows of the paper. Odd sizes have one more, as the strided convolutions
            # do.
            pool: Any = functools.partial(max_pool, window_shape=(3, 3), strides=2, padding=((0, 2), (0, 2)))
        elif name == "5b":
            pool = functools.partial(max_pool, window_shape=(3, 3), strides=1, padding=1)
        else:
            pool = functools.partial(avg_pool, window_shape=(3, 3), strides=1, padding=1, count_include_pad=True)
        return Branches(chains, pool, unit, name=f"inception{name}")

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


_PAPER_FORM: dict[str, Any] = {"blocks": BLOCKS, "separable_stem": True}
_NORMED: dict[str, Any] = {**_PAPER_FORM, "use_bias": False}
_REGULARISED: dict[str, Any] = {"response_norm": True, "dropout_rate": 0.4}
# name: parameters, multiply-adds at 224x224, accuracy, options
FORMS: dict[str, tuple[int, int, str, dict[str, Any]]] = {
    "bn_inception": (11_295_240, 2_032_600_064, "74.9 % ImageNet", {}),
    "inception_2015": (11_178_336, 1_934_857_216, "72.2 % ImageNet", {**_PAPER_FORM, **_REGULARISED, "norm": None}),
    "bn_baseline": (11_188_288, 1_934_857_216, "72.7 % ImageNet", {**_NORMED, **_REGULARISED}),
    "bn_x5": (11_188_288, 1_934_857_216, "73.0 % ImageNet", _NORMED),
    "bn_x30": (11_188_288, 1_934_857_216, "74.8 % ImageNet", _NORMED),
    "bn_x5_sigmoid": (11_188_288, 1_934_857_216, "69.8 % ImageNet", {**_NORMED, "activation": nn.sigmoid}),
}
for _name, (_parameters, _macs, _accuracy, _options) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(224, 224, 3),
            num_classes=1000,
            parameters=_parameters,
            macs=_macs,
            accuracy=_accuracy,
        ),
        functools.partial(BNInception, **_options),
    )
