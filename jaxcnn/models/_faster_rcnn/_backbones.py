"""The maps that a detector reads: a pyramid over a residual network, or the last map of VGG."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike

from jaxcnn.models._resnet import Bottleneck, ResNet
from jaxcnn.models._vgg import vgg_stages
from jaxcnn.nn import Conv


class FrozenBatchNorm(nn.Module):
    """A batch norm whose scale and bias are constants like its statistics: ``(x - mean) / sqrt(var + epsilon)``.

    All four arrays are in ``batch_stats``, so that no optimizer changes them. Detectors are trained on few images per
    step, whose statistics would be noisy; the four arrays are loaded with the weights of a classifier. The weights of
    torchvision's ``COCO_V1`` detectors were trained with ``epsilon=0``.

    Attributes:
        epsilon: added to the variance.
        dtype: of the result; None keeps that of the input.
        scale_init: initializer of the scale, which is called with key 0.
        use_running_average: has no effect; accepted for compatibility with ``BatchNorm``.

    >>> layer = FrozenBatchNorm()
    >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 2)))
    >>> sorted(variables), sorted(variables["batch_stats"])
    (['batch_stats'], ['bias', 'mean', 'scale', 'var'])
    """

    epsilon: float = 1e-5
    dtype: DTypeLike | None = None
    scale_init: Initializer = nn.initializers.ones
    use_running_average: bool | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The normalised array, of the same shape."""

        def constant(name: str, init: Initializer) -> jax.Array:
            draw = functools.partial(init, jax.random.key(0), (x.shape[-1],), jnp.float32)
            return self.variable("batch_stats", name, draw).value

        scale, bias = constant("scale", self.scale_init), constant("bias", nn.initializers.zeros)
        mean, var = constant("mean", nn.initializers.zeros), constant("var", nn.initializers.ones)
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        y = x.astype(jnp.float32) * _per_channel(x, factor) + _per_channel(x, bias - mean * factor)
        return y.astype(x.dtype if self.dtype is None else self.dtype)


def _per_channel(x: jax.Array, values: jax.Array) -> jax.Array:
    """One value per channel, in a shape that broadcasts with ``x``."""
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


class ResNetPyramid(nn.Module):
    """A feature pyramid over the four stages of a residual network (Lin et al. 2017), in the form of torchvision.

    From coarse to fine, a 1x1 convolution of each stage is added to the next coarser sum, enlarged by repetition of
    its pixels; a 3x3 convolution of each sum is a map. A fifth map is every second pixel of the coarsest one.

    Attributes:
        stage_sizes: number of bottlenecks of each stage.
        channels: of the maps.
        width: channels of the stem.
        dtype: type of the computation; parameters stay float32.
        norm: creates a norm of the residual network.

    >>> pyramid = ResNetPyramid(stage_sizes=(1, 1), channels=8, width=2)
    >>> maps, _ = jax.eval_shape(
    ...     lambda x: pyramid.init_with_output(jax.random.key(0), x, train=False), jnp.zeros((1, 32, 48, 3))
    ... )
    >>> [each.shape for each in maps]
    [(1, 8, 12, 8), (1, 4, 6, 8), (1, 2, 3, 8)]
    """

    stage_sizes: Sequence[int] = (3, 4, 6, 3)
    channels: int = 256
    width: int = 64
    dtype: DTypeLike | None = None
    norm: Callable[..., nn.Module] = FrozenBatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        """Maps of strides 4, 8, 16, 32 and 64, from images ``(batch, height, width, channels)``."""
        body = ResNet(
            self.stage_sizes,
            Bottleneck,
            num_classes=0,
            dtype=self.dtype,
            width=self.width,
            norm=self.norm,
            name="body",
        ).features(x, train)
        conv = functools.partial(
            Conv,
            self.channels,
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(1.0, "fan_in", "uniform"),
        )
        maps: list[jax.Array] = []
        above = None
        for index in reversed(range(1, len(self.stage_sizes) + 1)):
            across = conv((1, 1), name=f"inner{index}")(body[f"stage{index}"])
            above = across if above is None else across + _enlarged(above, across.shape)
            maps.insert(0, conv((3, 3), padding=1, name=f"outer{index}")(above))
        return [*maps, maps[-1][..., ::2, ::2, :]]


class VGGMap(nn.Module):
    """The last map of a VGG network before its last pooling, of stride 16: the backbone of Ren et al. (2015).

    Attributes:
        stage_sizes: number of convolutions of each stage.
        widths: channels of each stage.
        dtype: type of the computation; parameters stay float32.

    >>> backbone = VGGMap(stage_sizes=(1, 1), widths=(2, 4))
    >>> maps, _ = jax.eval_shape(
    ...     lambda x: backbone.init_with_output(jax.random.key(0), x, train=False), jnp.zeros((1, 32, 48, 3))
    ... )
    >>> [each.shape for each in maps]
    [(1, 16, 24, 4)]
    """

    stage_sizes: Sequence[int] = (2, 2, 3, 3, 3)
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        """One map, of images ``(batch, height, width, channels)``."""
        found = vgg_stages(
            x, stage_sizes=self.stage_sizes, widths=self.widths, dtype=self.dtype, norm=None, train=train
        )
        return [found[f"conv{len(self.stage_sizes)}_{self.stage_sizes[-1]}"]]


def _enlarged(x: jax.Array, shape: Sequence[int]) -> jax.Array:
    """A map of the height and width of a shape, whose pixels are those at ``floor(i * old / new)``."""
    rows, columns = (np.arange(new) * old // new for old, new in zip(x.shape[-3:-1], shape[-3:-1], strict=True))
    return x[..., rows, :, :][..., columns, :]
