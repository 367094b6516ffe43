"""Initializers that several families share."""

import math
from typing import Any

import jax
from flax import linen as nn
from flax.typing import Initializer

# He et al. 2015, "Delving deep into rectifiers", with fan-out, which preserves the variance of gradients:
# torchvision's.
he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# PyTorch's default: uniform on +-1 / sqrt(fan_in), for kernels here and for biases below.
torch_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def torch_bias(fan_in: int) -> Initializer:
    """Uniform on ``+-1 / sqrt(fan_in)``; the shape of a bias does not determine its fan-in."""
    bound = 1 / math.sqrt(fan_in)

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = float) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialize
