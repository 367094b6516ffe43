"""The layers of a detector after its backbone: scores and boxes of anchors, and of regions."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn.models._layers import dropout_layer, torch_bias, torch_kernel
from jaxcnn.nn import Conv


class ProposalHead(nn.Module):
    """A 3x3 convolution with ReLU, and from it the score and the encoded box of each anchor of each position.

    The same layers read every map.

    Attributes:
        num_anchors: number of anchors per position.
        dtype: type of the computation; parameters stay float32.
    """

    num_anchors: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        """Logits ``(batch, anchors)`` and encoded boxes ``(batch, anchors, 4)`` of each map, in float32.

        Anchors are ordered by row, column and anchor of a position, as ``functional.anchors`` orders them.
        """
        conv = functools.partial(Conv, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
        hidden = conv(maps[0].shape[-1], (3, 3), padding=1, name="conv")
        objectness = conv(self.num_anchors, (1, 1), name="objectness")
        deltas = conv(4 * self.num_anchors, (1, 1), name="deltas")
        inner = [nn.relu(hidden(each)) for each in maps]
        return (
            [objectness(each).reshape(len(each), -1).astype(jnp.float32) for each in inner],
            [deltas(each).reshape(len(each), -1, 4).astype(jnp.float32) for each in inner],
        )


class DenseHead(nn.Module):
    """Dense layers with ReLU over all numbers of a region, named ``fc6``, ``fc7`` and so on, as in VGG.

    Attributes:
        hidden: units of each layer.
        dropout_rate: fraction of the units of each layer dropped in training; requires an rng named ``dropout``.
        dtype: type of the computation; parameters stay float32.

    >>> head = DenseHead(hidden=(8, 5))
    >>> variables = head.init(jax.random.key(0), jnp.zeros((1, 2, 3, 3, 4)), train=False)
    >>> variables["params"]["fc6"]["kernel"].shape, variables["params"]["fc7"]["kernel"].shape
    ((36, 8), (8, 5))
    """

    hidden: Sequence[int] = (1024, 1024)
    dropout_rate: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, regions: jax.Array, train: bool) -> jax.Array:
        """Vectors ``(..., units)`` of regions ``(..., height, width, channels)``."""
        x = regions.reshape(*regions.shape[:-3], -1)
        for index, units in enumerate(self.hidden, 6):
            x = nn.relu(_dense(units, x, dtype=self.dtype, name=f"fc{index}"))
            x = dropout_layer(self.dropout_rate, train=train)(x)
        return x


class Predictor(nn.Module):
    """Logits of the classes of a region, and a box for each class.

    Attributes:
        num_classes: background included, which is class 0.
        dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Logits ``(..., classes)`` and encoded boxes ``(..., classes, 4)`` of vectors, in float32."""
        # The number of classes in a file of weights is read from the first layer by name.
        logits = _dense(self.num_classes, x, dtype=self.dtype, name="classes")
        deltas = _dense(4 * self.num_classes, x, dtype=self.dtype, name="deltas")
        return logits.astype(jnp.float32), deltas.reshape(*logits.shape, 4).astype(jnp.float32)


def _dense(units: int, x: jax.Array, *, dtype: Any, name: str) -> jax.Array:
    """A dense layer, initialised as in PyTorch."""
    bias_init = torch_bias(x.shape[-1])
    return nn.Dense(units, dtype=dtype, kernel_init=torch_kernel, bias_init=bias_init, name=name)(x)
