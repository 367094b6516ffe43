"""The multi-scale network for scene labelling (Farabet, Couprie, Najman and LeCun 2013)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.functional import local_contrast_norm, max_pool
from jaxcnn.functional.filters import apply_filter
from jaxcnn.models._layers import as_images, require_classes
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv

PAPER = "Farabet, Couprie, Najman, LeCun: Learning Hierarchical Features for Scene Labeling, 2013"
# Luma and two differences of colours (ITU-R 601), one row for each of R, G and B.
YUV = np.array([[0.299, -0.14713, 0.615], [0.587, -0.28886, -0.51499], [0.114, 0.436, -0.10001]], np.float32)
TAPS = np.array([1, 4, 6, 4, 1]) / 16  # of the binomial filter of Burt and Adelson (1983)
WINDOW = (15, 15)  # of the local normalisation


class Multiscale(nn.Module):
    """One network with shared weights at three scales of the image, and a classifier of all its features per pixel.

    The image, in YUV, becomes a Laplacian pyramid, each level of which is normalised to local mean 0 and deviation 1.
    The same network reads every level: 7x7 convolutions to 16, 64 and 256 maps, the first two of which are followed by
    tanh and 2x2 max pooling. The maps of the coarser levels are enlarged to those of the finest, and a 1x1 layer of
    1024 tanh units and one of logits read all of them. Logits are enlarged to the image by linear interpolation. In the
    paper each map of the later convolutions reads some of the maps before it; here it reads all. The paper's cleaning
    of the label map by superpixels is not part of the network.

    ``features`` returns ``scale1`` to ``scale3``, the maps of each level before they are enlarged, ``hidden`` and
    ``logits``.

    Args:
        num_classes: number of logits of each pixel.
        dtype: type of the computation; parameters stay float32.
        widths: channels of the convolutions.
        hidden: units of the classifier's first layer.
        scales: number of levels of the pyramid.

    >>> x = jnp.zeros((1, 240, 320, 3))
    >>> variables = jax.eval_shape(Multiscale().init, jax.random.key(0), x)
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    1651336
    >>> jax.eval_shape(Multiscale().apply, variables, x).shape
    (1, 240, 320, 8)
    """

    num_classes: int = 8
    dtype: DTypeLike | None = None
    widths: Sequence[int] = (16, 64, 256)
    hidden: int = 1024
    scales: int = 3

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps of each level, the classifier's hidden layer, and the logits of all pixels."""
        x = as_images(x)
        require_classes(self.num_classes, instead='method="features" of a model with classes gives its maps')
        if as_int(self.scales, name="scales") < 1:
            raise ValueError(f"scales={self.scales} must be at least 1.")
        if x.shape[-1] not in (1, 3):
            raise ShapeError(f"images must have 1 channel (grey) or 3 (red, green, blue), not {x.shape[-1]}.")
        dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.dtype(jnp.float32)
        image = x.astype(dtype)
        if x.shape[-1] == 3:
            image = jnp.einsum("...c,cd->...d", image, jnp.asarray(YUV, dtype), precision=jax.lax.Precision.HIGHEST)
        network = _Network(tuple(self.widths), self.dtype, name="network")
        outputs: dict[str, jax.Array] = {}
        for index, level in enumerate(laplacian_pyramid(image, self.scales), 1):
            channels = [local_contrast_norm(level[..., c : c + 1], window_shape=WINDOW) for c in range(level.shape[-1])]
            outputs[f"scale{index}"] = network(jnp.concatenate(channels, -1))
        finest = outputs["scale1"].shape
        maps = jnp.concatenate([_resized(outputs[f"scale{index}"], finest) for index in range(1, self.scales + 1)], -1)
        outputs["hidden"] = jnp.tanh(Conv(self.hidden, (1, 1), dtype=self.dtype, name="hidden")(maps))
        scores = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(outputs["hidden"])
        return outputs | {"logits": _resized(scores, x.shape)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, height, width, num_classes)`` of images ``(*batch, height, width, 1 or 3)``."""
        return self.features(x, train)["logits"]


class _Network(nn.Module):
    """The network of one level: all but the last convolution are followed by tanh and max pooling."""

    widths: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for index, width in enumerate(self.widths, 1):
            x = Conv(width, (7, 7), dtype=self.dtype, name=f"conv{index}")(x)
            if index < len(self.widths):
                x = max_pool(jnp.tanh(x), (2, 2), strides=2, ceil_mode=True)
        return x


def laplacian_pyramid(x: jax.Array, levels: int) -> list[jax.Array]:
    """Differences between an image and its half-size version, enlarged, level by level; the last is the smallest image.

    The half-size version is every second pixel of the image, blurred by a binomial filter of five taps; the next level
    is computed from it. To reconstruct the image, start with the last level, and repeatedly enlarge the result and add
    the level before.

    >>> levels = laplacian_pyramid(jnp.ones((8, 8, 1)), 2)
    >>> [level.shape for level in levels], float(jnp.abs(levels[0]).max())
    ([(8, 8, 1), (4, 4, 1)], 0.0)
    """
    differences = []
    for _ in range(levels - 1):
        kernel = jnp.asarray(np.outer(TAPS, TAPS), x.dtype)
        half = apply_filter(x, kernel, padding_mode="edge")[..., ::2, ::2, :]
        differences.append(x - _resized(half, x.shape))
        x = half
    return [*differences, x]


def _resized(maps: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Maps enlarged to the height and width of a shape, by linear interpolation between the centres of their pixels."""
    if maps.shape[-3:-1] == tuple(shape[-3:-1]):
        return maps
    size = (*maps.shape[:-3], *shape[-3:-1], maps.shape[-1])
    return jax.image.resize(maps, size, "linear", antialias=False)


register(
    ModelInfo(
        name="farabet_multiscale",
        paper=PAPER,
        input_shape=(240, 320, 3),
        num_classes=8,
        parameters=1_651_336,
        macs=10_604_640_000,
        accuracy="78.8 % of the pixels Stanford Background",
    ),
    Multiscale,
)
