"""Generalised mean pooling with a trained exponent."""

import jax
import jax.numpy as jnp
from flax import linen

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn.functional import gem


class GeM(linen.Module):
    """``functional.gem`` whose exponent is the parameter ``p``: from the mean (``p = 1``) towards the maximum.

    Attributes:
        p: initial exponent.
        per_channel: whether each channel has an exponent of its own.
        epsilon: a positive lower bound of the values.

    >>> import jax
    >>> x = jnp.array([[[1.0], [4.0]], [[1.0], [4.0]]])
    >>> y, variables = GeM(p=1.0).init_with_output(jax.random.key(0), x)
    >>> print(y, variables["params"]["p"])
    [2.5] 1.0
    """

    p: float = 3.0
    per_channel: bool = False
    epsilon: float = 1e-6

    @linen.compact
    def __call__(self, x: ArrayLike) -> jax.Array:
        """Pools ``(*batch, height, width, channels)`` to ``(*batch, channels)``."""
        x = as_array(x, name="x")
        if not self.p > 0:
            raise ValueError(f"p={self.p} must be positive: 1 for the mean, 3 for a value near the maximum.")
        shape = x.shape[-1:] if self.per_channel else ()
        p = self.param("p", linen.initializers.constant(self.p), shape, jnp.float32)
        return gem(x, p=p, epsilon=self.epsilon)
