"""The initial weights that several reference recipes share, under the names of their first users."""

import math
from typing import Any

import jax
from flax import linen as nn
from flax.typing import Initializer

# He et al. 2015, "Delving deep into rectifiers", in the form that keeps the variance of gradients: torchvision's.
he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# What a layer of PyTorch starts from: uniform on +-1 / sqrt(fan_in), the kernel here and the bias below.
torch_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def torch_bias(fan_in: int) -> Initializer:
    """Uniform on ``+-1 / sqrt(fan_in)``; of a bias only the layer knows how many inputs it has."""
    bound = 1 / math.sqrt(fan_in)

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = float) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialize
