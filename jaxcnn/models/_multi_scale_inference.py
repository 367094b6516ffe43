"""Inference at several sizes of the image: the mean of the probabilities of each pixel (Chen et al. 2017)."""

import math
import numbers
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import larger
from jaxcnn.models._deeplab import resized
from jaxcnn.models._layers import as_images


class MultiScaleInference(nn.Module):
    r"""A per-pixel network that inference applies to several sizes of the image, and to their mirror images.

    In inference the result is ``log(mean_v softmax(logits_v))``: the logits of each view ``v`` are resized to the image
    by linear interpolation, those of a mirrored view are mirrored back, and the probabilities are averaged. In training
    the result is that of the network. The variables are those of the network, so that the variables of a trained
    network can be used without a change. Inference takes about ``2 * sum(scale**2)`` times as long, 17 times by
    default.

    Args:
        per_pixel: the network; maps images ``(*batch, height, width, channels)`` to logits ``(*batch, height, width,
            num_classes)``; called as ``per_pixel(x, train)``.
        scales: sizes of the views, relative to the image. The default is the paper's.
        mirrored: whether the mirror image of each view is a view too.
        multiple: the sides of views are rounded to multiples of this number, as a U-Net requires.

    Raises:
        ShapeError: the network returns maps of another size than its images.
        TypeError: scales that are not several numbers, or a ``multiple`` that is not an integer.
        ValueError: no scales, one that is not positive, or a ``multiple`` below 1.

    Source: Chen, Papandreou, Schroff and Adam: Rethinking Atrous Convolution for Semantic Image Segmentation, 2017,
    section 4.1.

    >>> from jaxcnn.models import create
    >>> network = create("unet", num_classes=3, padding="SAME", widths=(4, 8), dropout_rate=0.0)
    >>> x = jnp.zeros((1, 8, 8, 1))
    >>> variables = jax.jit(network.init)(jax.random.key(0), x)
    >>> MultiScaleInference(network, scales=(0.5, 1.0), multiple=2).apply(variables, x).shape
    (1, 8, 8, 3)
    """

    # Not called network, the name of a module within Refinement, whose scope is shared.
    per_pixel: nn.Module
    scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    mirrored: bool = True
    multiple: int = 1

    def setup(self) -> None:
        nn.share_scope(self, self.per_pixel)
        if not isinstance(self.scales, Sequence) or not all(isinstance(scale, numbers.Real) for scale in self.scales):
            raise TypeError(f"scales must be several numbers, such as (0.75, 1.0), not {self.scales!r}.")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales={self.scales!r} must be positive numbers, at least one.")
        if as_int(self.multiple, name="multiple") < 1:
            raise ValueError(f"multiple={self.multiple} must be at least 1.")

    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The features of the network; in inference, ``logits`` is the result of all views."""
        network: Any = self.per_pixel
        found = network.features(x, train)
        return found if train else found | {"logits": self(x)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, height, width, num_classes)``, in inference float32 and normalized."""
        network: Any = self.per_pixel
        x = as_images(x)
        if train or self.is_initializing():
            return network(x, train)
        views = []
        for scale in self.scales:
            height, width = (_scaled(side, scale, self.multiple) for side in x.shape[-3:-1])
            view = resized(x, (height, width, x.shape[-1]))
            if self.mirrored:
                view = jnp.stack([view, jnp.flip(view, -2)])
            logits = network(view, train)
            if logits.shape[:-1] != view.shape[:-1]:
                raise ShapeError(
                    f"the network must return maps of the size of its images, {view.shape[:-1]}; got "
                    f"{logits.shape[:-1]}. Networks with padding='SAME' keep the size."
                )
            logits = resized(logits.astype(jnp.float32), x.shape)
            views += [logits[0], jnp.flip(logits[1], -2)] if self.mirrored else [logits]
        return nn.logsumexp(nn.log_softmax(jnp.stack(views)), axis=0) - math.log(len(views))


def _scaled(side: int, scale: float, multiple: int) -> int:
    """``side * scale``, rounded to a multiple that is not 0. In integers, since sizes may be symbolic."""
    ratio = Fraction(scale).limit_denominator(1000) / multiple
    count = (2 * side * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)
    return multiple * larger(count, 1)
