"""Modules of the Inception networks: a convolution with norm and activation, and parallel branches."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike

from jaxcnn._axes import IntPerAxis
from jaxcnn.nn import Conv


class ConvUnit(nn.Module):
    """A convolution, an optional norm, and an activation.

    Attributes:
        features: output channels.
        window: side of the kernel; the padding is ``window // 2``.
        strides: step of the convolution.
        norm: creates a norm; None for no norm.
        use_bias: whether the convolution has a bias.
        activation: the nonlinearity.
        kernel_init: initializer of the kernel.
        dtype: type of the computation.
    """

    features: int
    window: int
    strides: IntPerAxis = 1
    norm: Callable[..., nn.Module] | None = None
    use_bias: bool = True
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    kernel_init: Initializer = nn.initializers.glorot_uniform()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height / strides, width / strides, features)``."""
        x = Conv(
            self.features,
            (self.window, self.window),
            self.strides,
            self.window // 2,
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return self.activation(x if self.norm is None else self.norm(name="norm")(x))


class Branches(nn.Module):
    """Parallel chains of convolutions on the same map, with concatenated results (an Inception block).

    Attributes:
        chains: name and units of each branch, with ``(features, window, strides)`` for each unit; a branch without
            units is the identity.
        pool: computes the input of the last branch.
        unit: creates a ``ConvUnit``.
    """

    chains: Sequence[tuple[str, Sequence[tuple[int, int, int]]]]
    pool: Callable[[jax.Array], jax.Array]
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to the concatenated channels of all branches."""
        found = []
        for index, (name, units) in enumerate(self.chains):
            y = self.pool(x) if index == len(self.chains) - 1 else x
            for number, (features, window, strides) in enumerate(units):
                y = self.unit(features, window, strides, name=f"{name}_{number}" if len(units) > 1 else name)(y)
            found.append(y)
        return jnp.concatenate(found, -1)


def scaled(channels: int, width: float) -> int:
    """``channels * width``, rounded, and at least one.

    >>> scaled(192, 0.125), scaled(3, 0.1)
    (24, 1)
    """
    return max(1, round(channels * width))
