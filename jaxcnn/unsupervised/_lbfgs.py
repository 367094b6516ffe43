"""Minimisation of smooth functions by L-BFGS."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def minimize(
    value_and_gradient: Callable[..., tuple[jax.Array, jax.Array]],
    size: int,
    *arrays: jax.Array,
    most_steps: int = 1000,
) -> np.ndarray:
    """The minimum that SciPy's L-BFGS finds from zero, ``(size,)``.

    Args:
        value_and_gradient: the function of flat variables ``(size,)`` and of the arrays; computed in float32.
        size: number of variables.
        *arrays: data that the function reads.
        most_steps: the largest number of steps.
    """
    from scipy import optimize

    compiled = jax.jit(value_and_gradient)

    def in_float64(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(jnp.asarray(flat, jnp.float32), *arrays)
        return float(value), np.asarray(gradient, np.float64)

    options = {"maxiter": most_steps}
    found: np.ndarray = optimize.minimize(in_float64, np.zeros(size), jac=True, method="L-BFGS-B", options=options).x
    return found
