"""Stages of filters, rectification, contrast normalisation and pooling, for kernels that need not be trained."""

import dataclasses
from collections.abc import Sequence
from typing import get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn import nn as jnn
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import PoolKind
from jaxcnn.functional import avg_pool, local_contrast_norm, max_pool
from jaxcnn.models._layers import as_images, classifier


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastStage:
    """One stage of a ``ContrastNet``; the defaults are those of the first stage of Jarrett et al. (2009).

    Attributes:
        features: number of kernels.
        kernel_size: side of a kernel.
        pool_window: side of the pooling window.
        pool_strides: step of the pooling window.
        rectify: whether the absolute value is taken (R_abs).
        contrast_window: side of the window of the contrast normalisation (N); 0 leaves it out.
        pooling: ``"avg"`` (P_A) or ``"max"`` (P_M).
    """

    features: int = 64
    kernel_size: int = 9
    pool_window: int = 10
    pool_strides: int = 5
    rectify: bool = True
    contrast_window: int = 9
    pooling: PoolKind = "avg"

    def __post_init__(self) -> None:
        check_choice(self.pooling, get_args(PoolKind), name="pooling")


JARRETT_STAGES = (
    ContrastStage(),
    ContrastStage(features=256, pool_window=6, pool_strides=4),
)
"""The two stages of Jarrett et al. (2009); every filter of the second one reads all maps of the first."""


class ContrastNet(nn.Module):
    """Stages of filters, absolute values, local contrast normalisation and pooling, and a linear classifier.

    A stage computes ``y[j] = gain[j] tanh(kernel[j] * x)`` without padding (F_CSG), ``abs(y)``,
    ``functional.local_contrast_norm`` and a pool. The kernels may be random, made by hand, or learned without labels:
    set ``params/stage1/filters/kernel`` in ``Experiment.start``, and train the rest with
    ``by_pattern({"stage*": frozen()}, ...)``. In the paper a map of the second stage reads 20 maps of the first; here
    it reads all.

    ``features`` returns ``filters1``, ``pool1``, ... and ``logits``.

    Args:
        num_classes: number of logits; 0 returns the flattened features.
        dtype: type of the computation; parameters stay float32.
        stages: the stages, in order from the image.

    >>> model = ContrastNet(num_classes=2, stages=[ContrastStage(features=3, kernel_size=3, pool_window=2)])
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    >>> {name: leaf.shape for name, leaf in variables["params"]["stage1"].items() if name == "gain"}
    {'gain': (3,)}

    Source: Jarrett, Kavukcuoglu, Ranzato and LeCun, What is the best multi-stage architecture for object recognition?
    (2009).
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    stages: Sequence[ContrastStage] = JARRETT_STAGES

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps of every stage, and the logits."""
        x = as_images(x, known_because="the last layer has weights for each position of the map")
        x = x.astype(self.dtype or (x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32))
        outputs: dict[str, jax.Array] = {}
        for index, stage in enumerate(self.stages, 1):
            smallest = stage.kernel_size + stage.pool_window - 1
            if min(x.shape[-3:-1]) < smallest:
                raise ShapeError(
                    f"stage {index} reads maps of at least {smallest} x {smallest}, for kernels of "
                    f"{stage.kernel_size} and pools of {stage.pool_window}, but got {x.shape[-3]} x {x.shape[-2]}."
                )
            outputs[f"filters{index}"], outputs[f"pool{index}"] = _Stage(stage, self.dtype, name=f"stage{index}")(x)
            x = outputs[f"pool{index}"]
        x = x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2] * x.shape[-1])
        return outputs | {"logits": classifier(self.num_classes, dtype=self.dtype, name="head")(x)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


class _Stage(nn.Module):
    stage: ContrastStage
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The filters' outputs with their gain, and the pooled maps."""
        stage = self.stage
        side = stage.kernel_size
        gain = self.param("gain", nn.initializers.ones, (stage.features,))
        responses = jnn.Conv(
            stage.features, (side, side), padding="VALID", use_bias=False, dtype=self.dtype, name="filters"
        )(x)
        filtered = jnp.tanh(responses) * gain.astype(responses.dtype).reshape((1,) * (responses.ndim - 1) + (-1,))
        maps = jnp.abs(filtered) if stage.rectify else filtered
        if stage.contrast_window:
            maps = local_contrast_norm(maps, window_shape=(stage.contrast_window,) * 2)
        pool = avg_pool if stage.pooling == "avg" else max_pool
        return filtered, pool(maps, (stage.pool_window,) * 2, strides=stage.pool_strides)
