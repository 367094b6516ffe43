"""The confusion matrix, from which many measures follow."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._error_context import error_context
from jaxcnn.metrics._arrays import as_classes, as_weights, same_shape
from jaxcnn.metrics._counts import add_counts
from jaxcnn.metrics._sums import Sum


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, *, num_classes: int, weights: ArrayLike | None = None
) -> jax.Array:
    """``matrix[i, j]`` is the weight of the examples of class ``i`` that are predicted as ``j``.

    ``balanced_accuracy``, ``precision``, ``recall``, ``f1`` and ``iou`` are functions of this matrix.

    Args:
        labels: integers of any shape: ``(n,)`` for images, ``(n, height, width)`` for pixels. A pair whose label or
            prediction is outside ``[0, num_classes)``, such as 255 for pixels without a label, is left out.
        predictions: integers of the same shape.
        num_classes: the number of classes.
        weights: of the shape of the labels, or of their first axes; a mask of booleans leaves examples out.

    Returns:
        ``(num_classes, num_classes)``, float32 or float64; float32 rounds counts of more than 2**24.

    Raises:
        ShapeError: shapes that differ.
        ValueError: fewer than one class.
        TypeError: labels or predictions that are not integers.

    Source: ``confusion_matrix`` of scikit-learn.

    >>> from jaxcnn import metrics
    >>> metrics.confusion_matrix([0, 1, 1, 255], [0, 1, 0, 0], num_classes=2)
    Array([[1., 0.],
           [1., 1.]], dtype=float32)
    """
    return ConfusionMatrix.empty(num_classes).update(labels, predictions, weights=weights).compute()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConfusionMatrix:
    """The confusion matrix of examples that come in batches, for a split that does not fit into memory.

    A pytree of sums, for use under ``jit`` and in ``lax.scan``; states of several devices are added with
    ``jax.lax.psum``, those of several processes or files with ``merge``. The sums of counts are exact up to 2**48;
    ``compute`` rounds them once.

    Attributes:
        counts: the sums.

    >>> from jaxcnn import metrics
    >>> state = metrics.ConfusionMatrix.empty(2)
    >>> state = state.update([0, 1], [0, 1]).update([1, 1], [0, 1])
    >>> metrics.recall(state.compute()).round(4), metrics.iou(state.compute())[0]
    (Array(0.8333, dtype=float32), Array(0.5, dtype=float32))
    """

    counts: Sum

    @classmethod
    @error_context("ConfusionMatrix.empty", package="metrics")
    def empty(cls, num_classes: int) -> "ConfusionMatrix":
        """The state before any example.

        Raises:
            ValueError: fewer than one class.
            TypeError: a number of classes that is not an integer.
        """
        num_classes = as_int(num_classes, name="num_classes")
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes} must be at least 1.")
        return cls(Sum.zeros((num_classes, num_classes)))

    @error_context("ConfusionMatrix.update", package="metrics")
    def update(
        self, labels: ArrayLike, predictions: ArrayLike, *, weights: ArrayLike | None = None
    ) -> "ConfusionMatrix":
        """The state after more examples, with the arguments of ``confusion_matrix``.

        Raises:
            ShapeError: shapes that differ.
            TypeError: labels or predictions that are not integers.
        """
        truth, found = as_classes(labels, name="labels"), as_classes(predictions, name="predictions")
        same_shape(truth, found, names=("labels", "predictions"))
        number = self.counts.rounded.shape[-1]
        each = as_weights(weights, truth.shape, self.counts.rounded.dtype)
        inside = (truth >= 0) & (truth < number) & (found >= 0) & (found < number)
        cells = jnp.where(inside, truth * number + found, -1)
        return ConfusionMatrix(add_counts(self.counts, cells, each))

    @error_context("ConfusionMatrix.merge", package="metrics")
    def merge(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """The state after the examples of both.

        Raises:
            ShapeError: another number of classes.
        """
        return ConfusionMatrix(self.counts.merge(other.counts))

    def compute(self) -> jax.Array:
        """The confusion matrix."""
        return self.counts.value()
