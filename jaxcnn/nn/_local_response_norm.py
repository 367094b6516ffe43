"""Local response normalisation as a layer."""

import jax
import jax.numpy as jnp
from flax import linen

from jaxcnn._arrays import ArrayLike
from jaxcnn.functional import local_response_norm


class LocalResponseNorm(linen.Module):
    """``functional.local_response_norm`` as a module without variables, for ``linen.Sequential``.

    Attributes:
        size: number of channels in a window.
        k: constant term of the divisor.
        alpha: weight of the sum of squares, not divided by ``size``.
        beta: exponent.

    >>> import jax.numpy as jnp
    >>> print(LocalResponseNorm(size=3, k=1, alpha=1.5, beta=1).apply({}, jnp.array([1.0, 1, 0, 0, 2])))
    [0.25      0.25      0.        0.        0.2857143]
    """

    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75

    def __call__(self, x: ArrayLike) -> jax.Array:
        """Normalises ``(*any, channels)``."""
        return local_response_norm(jnp.asarray(x), size=self.size, k=self.k, alpha=self.alpha, beta=self.beta)
