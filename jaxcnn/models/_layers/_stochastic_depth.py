"""Leaving whole branches out in training (Huang et al. 2016)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn._error_context import error_context
from jaxcnn._errors import ShapeError


class StochasticDepth(nn.Module):
    """In training, zero for a random share of the images and ``x / (1 - rate)`` for the others; else ``x``.

    Stands at the end of a residual branch, which is thereby left out for some images. The choice is drawn from the
    rng named ``dropout``, one for each image ``(height, width, channels)``.

    Attributes:
        rate: share of the images whose branch is left out.
    """

    rate: float

    @error_context("StochasticDepth")
    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Keeps or leaves out each image of ``(*batch, height, width, channels)``."""
        if not 0 <= self.rate <= 1:
            raise ShapeError(f"rate={self.rate} is not a share between 0 and 1.")
        if not train or self.rate == 0:
            return x
        if self.rate == 1:
            return jnp.zeros_like(x)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, (*x.shape[:-3], 1, 1, 1))
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))
