"""GoogLeNet (Szegedy et al. 2014), which won ImageNet 2014, as published and as in torchvision."""

import functools
from collections.abc import Callable, Sequence

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._errors import ShapeError
from jaxcnn.functional import adaptive_avg_pool, avg_pool, global_avg_pool, local_response_norm, max_pool
from jaxcnn.models._layers import Branches, ConvUnit, as_images, classifier, dropout_layer, require_classes, scaled
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import BatchNorm

PAPER = (
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich: Going Deeper with Convolutions, 2014"
)
# Table 1 of the paper. Of each block: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
BLOCKS = (
    ("3a", (64, 96, 128, 16, 32, 32)),
    ("3b", (128, 128, 192, 32, 96, 64)),
    ("4a", (192, 96, 208, 16, 48, 64)),
    ("4b", (160, 112, 224, 24, 64, 64)),
    ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)),
    ("4e", (256, 160, 320, 32, 128, 128)),
    ("5a", (256, 160, 320, 32, 128, 128)),
    ("5b", (384, 192, 384, 48, 128, 128)),
)
TORCHVISION = TorchNames(
    source="torchvision",
    modules={
        r"(conv.)/conv": r"\1.conv",
        r"(conv.)/norm": r"\1.bn",
        r"(inception..)/branch4/conv": r"\1.branch4.1.conv",
        r"(inception..)/branch4/norm": r"\1.branch4.1.bn",
        r"(inception..)/branch1/conv": r"\1.branch1.conv",
        r"(inception..)/branch1/norm": r"\1.branch1.bn",
        r"(inception..)/(branch.)_(.)/conv": r"\1.\2.\3.conv",
        r"(inception..)/(branch.)_(.)/norm": r"\1.\2.\3.bn",
        r"(aux.)/conv/conv": r"\1.conv.conv",
        r"(aux.)/conv/norm": r"\1.conv.bn",
        r"(aux.)/hidden": r"\1.fc1",
        r"(aux.)/head": r"\1.fc2",
        r"head": r"fc",
    },
    head=r"head|aux./head",
    flattened={"aux1/hidden": (4, 4), "aux2/hidden": (4, 4)},
)
# Auxiliary heads read the blocks 4a and 4d.
AUXILIARY = {"4a": "aux1", "4d": "aux2"}


class AuxiliaryHead(nn.Module):
    """Average pooling to 4x4, a 1x1 convolution and two dense layers: a classifier on an intermediate map.

    Attributes:
        num_classes: number of logits.
        unit: creates a ``ConvUnit``.
        width: multiplies the channels.
        adaptive: pools to 4x4 for every size; otherwise by 5x5 with stride 3, as in the paper.
        dtype: type of the computation.
    """

    num_classes: int
    unit: Callable[..., nn.Module]
    width: float
    adaptive: bool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of a map ``(*batch, height, width, channels)``."""
        height, width = x.shape[-3:-1]
        if self.adaptive:
            x = adaptive_avg_pool(x, (4, 4))
        elif not 14 <= min(height, width) <= max(height, width) <= 16:
            raise ShapeError(
                f"the auxiliary heads require maps from 14x14 to 16x16, so images from 209x209 to 256x256, "
                f"but this map is {height}x{width}. Train on 224x224, or without aux_heads."
            )
        else:
            x = avg_pool(x, (5, 5), strides=3)
        x = self.unit(scaled(128, self.width), 1, name="conv")(x)
        x = x.reshape(*x.shape[:-3], -1)
        x = nn.relu(nn.Dense(scaled(1024, self.width), dtype=self.dtype, name="hidden")(x))
        x = nn.Dropout(0.7, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


class GoogLeNet(nn.Module):
    """GoogLeNet: nine Inception blocks with windows of several sizes.

    ``googlenet`` follows table 1 and figure 3 of the paper: 5x5 branches, biases, local response normalisation,
    40 % dropout, 6,998,552 parameters. The paper does not state the constants of the normalisation; they are those of
    AlexNet. With ``aux_heads`` (13,378,280 parameters) training also computes the two auxiliary classifiers, on blocks
    4a and 4d, which ``features`` returns as ``aux1`` and ``aux2``; the paper adds their losses with weight 0.3.

    ``googlenet_torchvision`` (6,624,904 parameters) has batch norms instead of biases and response normalisation, 3x3
    windows instead of 5x5, 2x2 in the last pool, and auxiliary heads that pool to 4x4 for any size. torchvision's
    weights load.

    For the published form images are at least 31x31, and 209x209 to 256x256 in training with auxiliary heads; for
    ``googlenet_torchvision`` at least 15x15. ``features`` returns ``stem``, the blocks ``inception3a`` to
    ``inception5b``, ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        aux_heads: whether there are auxiliary heads.
        norm: creates a norm; None for the published form without norms.
        large_window: side of the windows in the third branch.
        last_pool: window of the pool before block 5a.
        dropout_rate: fraction of the pooled features dropped in training; requires an rng named ``dropout``.
        width: multiplies the channels of every layer.
        blocks: rows of table 1 to build; there is a pool before each new leading digit.

    >>> import jax.numpy as jnp
    >>> x = jnp.zeros((1, 224, 224, 3))
    >>> for heads in (False, True):
    ...     variables = jax.eval_shape(GoogLeNet(aux_heads=heads).init, jax.random.key(0), x)
    ...     print(sum(leaf.size for leaf in jax.tree.leaves(variables)))
    6998552
    13378280
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    aux_heads: bool = False
    norm: Callable[..., nn.Module] | None = None
    large_window: int = 5
    last_pool: int = 3
    dropout_rate: float = 0.4
    width: float = 1.0
    blocks: Sequence[tuple[str, Sequence[int]]] = BLOCKS

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after the stem and each block, the pooled vector, auxiliary logits in training, the logits."""
        wide_last_pool = self.last_pool > 2 and any(name[0] == "5" for name, _ in self.blocks)
        x = as_images(x, smallest=31 if wide_last_pool else 15)
        if self.aux_heads:
            require_classes(self.num_classes, instead="the auxiliary heads require classes")
        unit = self._unit(train)
        x = unit(scaled(64, self.width), 7, 2, name="conv1")(x)
        x = self._response_norm(max_pool(x, (3, 3), strides=2, ceil_mode=True))
        x = unit(scaled(64, self.width), 1, name="conv2")(x)
        x = self._response_norm(unit(scaled(192, self.width), 3, name="conv3")(x))
        outputs, stage, auxiliary = {"stem": x}, "", {}
        for name, row in self.blocks:
            if name[0] != stage:
                window = self.last_pool if name[0] == "5" else 3
                x = max_pool(x, (window, window), strides=2, ceil_mode=True)
                stage = name[0]
            x = self._block(name, row, unit)(x)
            outputs[f"inception{name}"] = x
            if self.aux_heads and name in AUXILIARY and (train or self.is_initializing()):
                auxiliary[AUXILIARY[name]] = self._auxiliary(AUXILIARY[name], unit)(x, train)
        outputs["pooled"] = x = global_avg_pool(x, spatial_ndim=2)
        x = dropout_layer(self.dropout_rate, train=train)(x)
        return outputs | auxiliary | {"logits": classifier(self.num_classes, dtype=self.dtype, name="head")(x)}

    def _unit(self, train: bool) -> Callable[..., nn.Module]:
        if self.norm is None:
            return functools.partial(ConvUnit, dtype=self.dtype)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        init = nn.initializers.truncated_normal(0.01)
        return functools.partial(ConvUnit, norm=norm, use_bias=False, kernel_init=init, dtype=self.dtype)

    def _response_norm(self, x: jax.Array) -> jax.Array:
        return local_response_norm(x) if self.norm is None else x

    def _block(self, name: str, row: Sequence[int], unit: Callable[..., nn.Module]) -> nn.Module:
        one, three_reduce, three, five_reduce, five, projection = (scaled(n, self.width) for n in row)
        chains = (
            ("branch1", ((one, 1, 1),)),
            ("branch2", ((three_reduce, 1, 1), (three, 3, 1))),
            ("branch3", ((five_reduce, 1, 1), (five, self.large_window, 1))),
            ("branch4", ((projection, 1, 1),)),
        )
        pool = functools.partial(max_pool, window_shape=(3, 3), strides=1, padding=1)
        return Branches(chains, pool, unit, name=f"inception{name}")

    def _auxiliary(self, name: str, unit: Callable[..., nn.Module]) -> nn.Module:
        return AuxiliaryHead(self.num_classes, unit, self.width, self.norm is not None, self.dtype, name=name)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="googlenet",
        paper=PAPER,
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=6_998_552,
        macs=1_582_671_872,
    ),
    GoogLeNet,
)
register(
    ModelInfo(
        name="googlenet_torchvision",
        paper=PAPER,
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=6_624_904,
        macs=1_498_376_192,
        accuracy="69.778 % ImageNet",
    ),
    functools.partial(
        GoogLeNet,
        norm=functools.partial(BatchNorm, momentum=0.9, epsilon=1e-3),
        large_window=3,
        last_pool=2,
        dropout_rate=0.2,
    ),
    torch_names=(TORCHVISION,),
)
