"""The neocognitron, the first convolutional network, trained without labels (Fukushima 1980)."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike
from jaxcnn.functional import conv, depthwise_conv
from jaxcnn.models._layers import as_images, classifier
from jaxcnn.models._registry import ModelInfo, register

# Decay per pixel of the weights c of inhibition and d of C-cells. The paper requires a decrease and gives no rate.
INHIBITION_DECAY, POOLING_DECAY = 0.9, 0.8


def window_weights(size: int, decay: float) -> np.ndarray:
    """Fixed weights ``decay**distance`` from the centre of a window, with sum 1 (the paper's c and d).

    >>> window_weights(3, 0.5).round(2)[1]
    array([0.11, 0.22, 0.11])
    """
    offset = np.arange(size) - (size - 1) / 2
    weights = decay ** np.hypot(offset[:, None], offset)
    return weights / weights.sum()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One layer of S-cells and the layer of C-cells that reads it.

    Attributes:
        planes: number of features of the S-cells, with one plane for each.
        s_window: side of the window of an S-cell.
        c_window: side of the window of a C-cell.
        c_strides: step of the C-cells, which subsamples the map.
        selectivity: ``r``; a larger value requires a closer match between the input and the feature of an S-cell.
        learning_selectivity: ``r`` during learning; a larger value makes planes learn different features. None uses
            ``selectivity``, as in 1980. Separate values are from Fukushima and Tanigawa (1996), "Use of different
            thresholds in learning and recognition".
    """

    planes: int = 24
    s_window: int = 5
    c_window: int = 5
    c_strides: int = 1
    selectivity: float = 1.5
    learning_selectivity: float | None = None

    @property
    def inhibition_weights(self) -> np.ndarray:
        """The weights c of the paper, ``(s_window, s_window)``: fixed, decreasing from the centre, with sum 1."""
        return window_weights(self.s_window, INHIBITION_DECAY)

    def inhibition(self, x: ArrayLike) -> jax.Array:
        """The inhibitory input ``v`` of the S-cells: a weighted root mean square over channels and windows.

        Args:
            x: ``(*batch, height, width, channels)``.

        Returns:
            ``(*batch, height, width, 1)``.

        >>> Stage(s_window=3).inhibition(jnp.full((5, 5, 2), 3.0))[2, 2]
        Array([3.], dtype=float32)
        """
        x = jnp.asarray(x)
        weights = jnp.asarray(self.inhibition_weights[:, :, None, None] / x.shape[-1], x.dtype)
        total = conv(jnp.square(x), jnp.broadcast_to(weights, (*weights.shape[:2], x.shape[-1], 1)), padding="SAME")
        return jnp.sqrt(total + jnp.finfo(x.dtype).tiny)  # the square root has no derivative at zero


# Three stages as in the paper. With a stride of 2, C-layers have fewer cells than in the paper.
STAGES = (
    Stage(selectivity=4.0, c_strides=2),
    Stage(c_strides=2),
    Stage(c_window=3, c_strides=2),
)


class SCells(nn.Module):
    """Cells that respond to one learned feature at every position (equations 1 to 3 of the paper)::

        u = r * max((1 + sum of a * x) / (1 + 2r / (1 + r) * b * v) - 1, 0),   v = sqrt(sum of c * x**2)

    The inhibition ``v`` increases with every input of the window, so a response requires the feature and little else.
    ``jaxcnn.unsupervised.reinforce`` updates ``a`` ``(window, window, channels, planes)``, which is small initially,
    and ``b`` ``(planes,)``, which is 0.

    Attributes:
        stage: the stage of the network.
        dtype: type of the computation.
    """

    stage: Stage
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height, width, planes)``."""
        size, channels, r = self.stage.s_window, x.shape[-1], self.stage.selectivity
        dtype = self.dtype or x.dtype
        x = x.astype(dtype)
        a = self.param("a", nn.initializers.uniform(1e-4), (size, size, channels, self.stage.planes)).astype(dtype)
        b = self.param("b", nn.initializers.zeros, (self.stage.planes,)).astype(dtype)
        v = self.stage.inhibition(x)
        excited = 1 + conv(x, a, padding="SAME")
        inhibited = 1 + 2 * r / (1 + r) * b.reshape((1,) * (x.ndim - 1) + b.shape) * v
        return r * jax.nn.relu(excited / inhibited - 1)


class CCells(nn.Module):
    """Cells that respond if S-cells of their plane respond anywhere in their window (equations 4 to 6 of the paper)::

        u = psi((1 + sum of d * s) / (1 + v) - 1),   v = mean over planes of sum of d * s,   psi(x) = x+ / (alpha + x+)

    Attributes:
        stage: the stage of the network.
        alpha: the input at which the response is half of its limit.
    """

    stage: Stage
    alpha: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, planes)`` to ``(*batch, height / strides, width / strides, planes)``."""
        size, strides, planes = self.stage.c_window, self.stage.c_strides, x.shape[-1]
        d = jnp.asarray(window_weights(size, POOLING_DECAY)[:, :, None, None], x.dtype)
        near = depthwise_conv(x, jnp.broadcast_to(d, (size, size, 1, planes)), strides=strides, padding="SAME")
        lateral = near.mean(-1, keepdims=True)
        u = jax.nn.relu((1 + near) / (1 + lateral) - 1)
        return u / (self.alpha + u)


class Neocognitron(nn.Module):
    """The neocognitron: three stages of S-cells, which learn features, and C-cells, which tolerate shifts.

    The structure, the responses of the cells and the constants ``r`` and ``alpha`` are those of the paper of 1980; its
    learning rule is in ``jaxcnn.unsupervised``. Deliberate differences: maps are padded; C-layers with stride 2
    subsample, where the paper has smaller layers; and the third C-layer has several cells per plane instead of one. The
    paper has no labels, and its output is the last layer. Here ``logits`` are a dense layer on the last C-cells, for
    training with gradients or for a linear classifier.

    Images are at least 8x8 with values in [0, 1], ink on a background of 0; the dense layer requires the image size
    with which the model was initialised. ``features`` returns ``s1``, ``c1``, ... ``c3`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        stages: the stages, in order from the image.

    >>> variables = jax.eval_shape(Neocognitron().init, jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    >>> {name: leaf.shape for name, leaf in variables["params"]["s2"].items()}
    {'a': (5, 5, 24, 24), 'b': (24,)}
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    stages: Sequence[Stage] = STAGES

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The responses of every layer of cells, and the logits."""
        because = "the last layer has weights for each position of the map"
        x = as_images(x, smallest=8, known_because=because)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"x must be floating, in [0, 1] with ink on a background of 0, not {x.dtype}. "
                f"Convert it first: x / 255 for uint8."
            )
        outputs: dict[str, jax.Array] = {}
        for index, stage in enumerate(self.stages, 1):
            outputs[f"s{index}"] = x = SCells(stage, self.dtype, name=f"s{index}")(x)
            outputs[f"c{index}"] = x = CCells(stage, name=f"c{index}")(x)
        x = x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2] * x.shape[-1])
        return outputs | {"logits": classifier(self.num_classes, dtype=self.dtype, name="head")(x)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="neocognitron",
        paper="Fukushima: Neocognitron: A Self-organizing Neural Network Model for a Mechanism of Pattern Recognition "
        "Unaffected by Shift in Position, 1980",
        input_shape=(16, 16, 1),
        num_classes=10,
        parameters=30_442,
        macs=1_409_824,
    ),
    Neocognitron,
)
