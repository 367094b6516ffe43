"""A linear support vector machine with squared hinge loss."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike
from jaxcnn.unsupervised._lbfgs import minimize
from jaxcnn.unsupervised._linear_probe import LinearProbe, check_labelled

_BLOCK = 1000  # rows that are standardised at a time


def linear_svm(
    features: ArrayLike, labels: ArrayLike, *, c: float = 100.0, variance_floor: float = 0.01
) -> LinearProbe:
    """Fits a linear support vector machine, one class against all others, to its optimum.

    Features are standardised, ``z = (x - mean) / sqrt(var + variance_floor)``, with ``var`` divided by ``n - 1``. For
    each class with targets ``y`` of 1 and -1 it minimises ``1/2 |w|**2 + c mean over i of
    max(0, 1 - y[i] (w . z[i] + b))**2`` by L-BFGS from zero. The intercept ``b`` is not regularised. The
    standardisation is part of the result. Standardised features are computed in blocks, so no copy of all of them is
    made.

    Args:
        features: ``(n, features)``.
        labels: integers ``(n,)`` from 0 on.
        c: weight of the loss, positive.
        variance_floor: added to the variance of each feature.

    Returns:
        the classifier, a function of features; the largest of its values is the class.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: features that are not finite, fewer than two examples, negative labels, or options that are not
            positive.
        TypeError: labels that are not integers.

    Source: Coates, Lee and Ng (2011) and the authors' program; ``LinearSVC(C=c / n)`` of
    scikit-learn, which regularises the intercept.

    >>> svm = linear_svm([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1])
    >>> svm([[2.0], [9.0]]).argmax(-1)
    Array([0, 1], dtype=int32)
    """
    x, y = np.asarray(features, np.float32), np.asarray(labels)
    check_labelled(x, y)
    if len(x) < 2:
        raise ValueError("expected at least two examples.")
    for name, value in (("c", c), ("variance_floor", variance_floor)):
        if not value > 0:
            raise ValueError(f"expected a positive {name}, got {value}.")
    rows = jnp.asarray(x)
    mean, scale = _standardisation(rows, variance_floor)
    shape = (x.shape[1], int(y.max()) + 1)
    targets = jnp.asarray(2 * np.eye(shape[1])[y] - 1, jnp.float32)

    def value_and_gradient(flat: jax.Array, rows: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        def of_block(flat: jax.Array, rows: jax.Array, targets: jax.Array) -> jax.Array:
            margins = ((rows - mean[None]) * scale[None]) @ flat[: -shape[1]].reshape(shape) + flat[None, -shape[1] :]
            return c / len(x) * (jax.nn.relu(1 - targets * margins) ** 2).sum()

        def add(total: Any, rows: jax.Array, targets: jax.Array) -> Any:
            return jax.tree.map(jnp.add, total, jax.value_and_grad(of_block)(flat, rows, targets))

        def add_block(index: jax.Array, total: Any) -> Any:
            return add(total, *(lax.dynamic_slice_in_dim(a, index * _BLOCK, _BLOCK) for a in (rows, targets)))

        kernel = flat.at[-shape[1] :].set(0)
        blocks = len(rows) // _BLOCK
        total = ((kernel**2).sum() / 2, kernel)
        if blocks:
            total = lax.fori_loop(0, blocks, add_block, total)
        value, gradient = add(total, rows[blocks * _BLOCK :], targets[blocks * _BLOCK :])
        return value, gradient

    found = minimize(value_and_gradient, shape[0] * shape[1] + shape[1], rows, targets)
    kernel = found[: -shape[1]].reshape(shape) * np.asarray(scale, np.float64)[:, None]
    bias = found[-shape[1] :] - np.asarray(mean, np.float64) @ kernel
    return LinearProbe(jnp.asarray(kernel, jnp.float32), jnp.asarray(bias, jnp.float32))


@jax.jit
def _standardisation(x: jax.Array, variance_floor: float) -> tuple[jax.Array, jax.Array]:
    """Mean, and one over the standard deviation."""
    mean = x.mean(0)
    return mean, 1 / jnp.sqrt(((x - mean[None]) ** 2).sum(0) / (len(x) - 1) + variance_floor)
