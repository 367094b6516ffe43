"""What Optax leaves to its users: which parameters decay."""

from typing import Any

import jax


def decay_mask(params: Any) -> Any:
    """True for the parameters that weight decay applies to: kernels, not biases, scales or other vectors.

    Pass it as ``mask=`` to ``optax.adamw`` or ``optax.add_decayed_weights``.

    >>> import jax.numpy as jnp
    >>> decay_mask({"conv": {"kernel": jnp.ones((3, 3, 1, 8)), "bias": jnp.zeros(8)}})
    {'conv': {'bias': False, 'kernel': True}}
    """
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
