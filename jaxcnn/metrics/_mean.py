"""The running mean of a number that each example has."""

import dataclasses

import jax

from jaxcnn._arrays import ArrayLike
from jaxcnn._error_context import error_context
from jaxcnn.metrics._arrays import as_numbers, as_weights, weighted
from jaxcnn.metrics._sums import Sum


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mean:
    """The weighted mean of numbers that come in batches: ``sum of w * v / sum of w``.

    The running form of every measure that is a mean over examples: ``in_top_k``, squared errors, ``psnr``, ``ssim``,
    ``dice``. A pytree of sums, for use under ``jit`` and in ``lax.scan``; states of several devices are added with
    ``jax.lax.psum``, those of several processes or files with ``merge``.

    Attributes:
        total: the weighted sum.
        weight: the sum of the weights.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> mean = metrics.Mean.empty()
    >>> for labels, scores in [([0, 1], [[3.0, 1.0], [2.0, 1.0]]), ([1, 1], [[0.0, 1.0], [0.0, 4.0]])]:
    ...     mean = mean.update(metrics.in_top_k(labels, jnp.array(scores), k=1))
    >>> mean.compute()
    Array(0.75, dtype=float32)
    """

    total: Sum
    weight: Sum

    @classmethod
    def empty(cls) -> "Mean":
        """The state before any number."""
        return cls(Sum.zeros(()), Sum.zeros(()))

    @error_context("Mean.update", package="metrics")
    def update(self, values: ArrayLike, *, weights: ArrayLike | None = None) -> "Mean":
        """The state after more numbers.

        Args:
            values: of any shape.
            weights: of the shape of the values, or of their first axes; a mask of booleans leaves examples out.

        Raises:
            ShapeError: weights of another shape.
            TypeError: values or weights that are not real numbers.
        """
        numbers = as_numbers(values, name="values").astype(self.total.rounded.dtype)
        each = as_weights(weights, numbers.shape, numbers.dtype)
        return Mean(self.total.add(weighted(numbers, each).sum()), self.weight.add(each.sum()))

    def merge(self, other: "Mean") -> "Mean":
        """The state after the numbers of both."""
        return Mean(self.total.merge(other.total), self.weight.merge(other.weight))

    def compute(self) -> jax.Array:
        """The mean; NaN where the weights add up to 0."""
        return self.total.value() / self.weight.value()
