"""A linear classifier of fixed features, which measures how well they separate the classes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError
from jaxcnn.unsupervised._lbfgs import minimize


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of features: ``probe(features)`` is ``(n, classes)``, and the largest value is the class.

    Attributes:
        kernel: ``(features, classes)``.
        bias: ``(classes,)``.
    """

    kernel: jax.Array
    bias: jax.Array

    def __call__(self, features: ArrayLike) -> jax.Array:
        """The values of all classes for features ``(..., features)``."""
        values = as_array(features, name="features") @ self.kernel
        return values + self.bias.reshape((1,) * (values.ndim - 1) + (-1,))


def linear_probe(features: ArrayLike, labels: ArrayLike, *, l2: float = 1e-4) -> LinearProbe:
    """Fits a linear classifier of features to labels: multinomial logistic regression, trained to its optimum.

    Features are scaled to mean 0 and standard deviation 1 over the examples, ``z``; a feature that is constant is left
    out. The classifier minimises ``mean over i of -log softmax(z[i] W + b)[labels[i]] + l2 / 2 sum(W**2)``, which is
    convex, by L-BFGS from zero, so the result depends on nothing else. The scaling is part of the result.

    Args:
        features: ``(n, features)``, such as the output of a network that was trained without labels.
        labels: integers ``(n,)`` from 0 on.
        l2: weight of the penalty, positive.

    Returns:
        the probe, a function of features.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: features that are not finite, negative labels, or a penalty that is not positive.
        TypeError: labels that are not integers.

    Source: Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes";
    ``LogisticRegression(C=1 / (n * l2))`` of scikit-learn on scaled features.

    >>> probe = linear_probe([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1])
    >>> probe([[2.0], [9.0]]).argmax(-1)
    Array([0, 1], dtype=int32)
    """
    x, y = np.asarray(features, np.float64), np.asarray(labels)
    check_labelled(x, y)
    if not l2 > 0:
        raise ValueError(f"expected a positive l2, got {l2}. Without a penalty separable classes have no optimum.")
    mean, deviation = x.mean(0), x.std(0)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-12 * np.abs(mean).max())
    shape = (x.shape[1], int(y.max()) + 1)
    z, targets = (jnp.asarray(array, jnp.float32) for array in ((x - mean) * scale, np.eye(shape[1])[y]))

    def value_and_gradient(flat: jax.Array, z: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        def loss(flat: jax.Array) -> jax.Array:
            kernel = flat[: -shape[1]].reshape(shape)
            losses = optax.softmax_cross_entropy(z @ kernel + flat[None, -shape[1] :], targets)
            return losses.mean() + l2 / 2 * (kernel**2).sum()

        return jax.value_and_grad(loss)(flat)

    found = minimize(value_and_gradient, shape[0] * shape[1] + shape[1], z, targets)
    kernel = found[: -shape[1]].reshape(shape) * scale[:, None]
    bias = found[-shape[1] :] - mean @ kernel
    return LinearProbe(jnp.asarray(kernel, jnp.float32), jnp.asarray(bias, jnp.float32))


def check_labelled(features: np.ndarray, labels: np.ndarray) -> None:
    """Refuses what is not a table of features with a label for each row.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: features that are not finite, or negative labels.
        TypeError: labels that are not integers.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise ShapeError(f"expected features (n, features) and labels (n,), got {features.shape} and {labels.shape}.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"expected integers as labels, got {labels.dtype}.")
    if labels.min() < 0:
        raise ValueError(f"expected labels from 0 on, got {labels.min()}.")
    if not np.isfinite(features).all():
        raise ValueError("expected finite features, got a NaN or an infinity.")
