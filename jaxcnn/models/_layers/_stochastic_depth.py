"""Stochastic depth: dropping whole branches in training (Huang et al. 2016)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn._error_context import error_context


class StochasticDepth(nn.Module):
    """In training, 0 for randomly selected images and ``x / (1 - rate)`` for the others; in evaluation ``x``.

    At the end of a residual branch it drops the branch of the selected images. The selection is drawn from the rng
    named ``dropout``, for each image ``(height, width, channels)``.

    Attributes:
        rate: probability of dropping an image.
    """

    rate: float

    @error_context("StochasticDepth")
    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to the same shape."""
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate={self.rate} must be in [0, 1].")
        if not train or self.rate == 0:
            return x
        if self.rate == 1:
            return jnp.zeros_like(x)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, (*x.shape[:-3], 1, 1, 1))
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))
