"""Whether confidences equal the frequencies of correct predictions."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._error_context import error_context
from jaxcnn.metrics._arrays import as_weights, scores_of_classes
from jaxcnn.metrics._counts import add_counts
from jaxcnn.metrics._sums import Sum


class CalibrationBins(NamedTuple):
    """A reliability diagram, and the errors that follow from it.

    Attributes:
        expected_error: the expected calibration error.
        maximum_error: the largest difference of a bin.
        accuracy: ``(bins,)``, the share of right predictions in each bin; NaN in an empty one.
        confidence: ``(bins,)``, the mean confidence in each bin; NaN in an empty one.
        weight: ``(bins,)``, the weight of the examples in each bin.
    """

    expected_error: jax.Array
    maximum_error: jax.Array
    accuracy: jax.Array
    confidence: jax.Array
    weight: jax.Array


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, *, num_bins: int = 15, weights: ArrayLike | None = None
) -> jax.Array:
    """The mean difference between the confidence of predictions and the share of them that are right.

    ``sum over bins of (w[b] / w) |accuracy[b] - confidence[b]|``. The confidence of an example is its highest
    probability, and the bins ``(b / num_bins, (b + 1) / num_bins]`` divide [0, 1].

    Args:
        labels: integers ``(...)``.
        probabilities: ``(..., classes)`` that add up to 1 over the classes: ``jax.nn.softmax(logits)``.
        num_bins: the number of bins.
        weights: of the shape of the labels, or of their first axes; a mask of booleans leaves examples out.

    Returns:
        a number from 0 to 1; NaN where the weights add up to 0.

    Raises:
        ShapeError: shapes that do not fit each other.
        ValueError: fewer than one bin.
        TypeError: labels that are not integers.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", equation 3.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> metrics.expected_calibration_error([0, 0], jnp.array([[0.75, 0.25], [0.25, 0.75]]), num_bins=4)
    Array(0.25, dtype=float32)
    """
    return Calibration.empty(num_bins=num_bins).update(labels, probabilities, weights=weights).compute().expected_error


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Calibration:
    """The running form of ``expected_calibration_error``, which is exact, and of the diagram that belongs to it.

    A pytree of sums, for use under ``jit`` and in ``lax.scan``; states of several devices are added with
    ``jax.lax.psum``, those of several processes or files with ``merge``.

    Attributes:
        right: the weight of the right predictions in each bin.
        confidence: the weighted sum of the confidences in each bin.
        weight: the weight of the examples in each bin.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> state = metrics.Calibration.empty(num_bins=4)
    >>> for labels, probabilities in [([0], [[0.75, 0.25]]), ([0], [[0.25, 0.75]])]:
    ...     state = state.update(labels, jnp.array(probabilities))
    >>> state.compute().accuracy
    Array([nan, nan, 0.5, nan], dtype=float32)
    """

    right: Sum
    confidence: Sum
    weight: Sum

    @classmethod
    @error_context("Calibration.empty", package="metrics")
    def empty(cls, *, num_bins: int = 15) -> "Calibration":
        """The state before any example.

        Raises:
            ValueError: fewer than one bin.
            TypeError: a number of bins that is not an integer.
        """
        num_bins = as_int(num_bins, name="num_bins")
        if num_bins < 1:
            raise ValueError(f"num_bins={num_bins} must be at least 1.")
        return cls(*(Sum.zeros((num_bins,)) for _ in range(3)))

    @error_context("Calibration.update", package="metrics")
    def update(self, labels: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None) -> "Calibration":
        """The state after more examples, with the arguments of ``expected_calibration_error``.

        Raises:
            ShapeError: shapes that do not fit each other.
            TypeError: labels that are not integers.
        """
        classes, p = scores_of_classes(labels, probabilities, name="probabilities")
        each = as_weights(weights, classes.shape, self.weight.rounded.dtype)
        confidence = jnp.where(each == 0, 0, p.max(-1).astype(each.dtype))
        right = p.argmax(-1) == classes
        number = self.weight.rounded.shape[0]
        place = jnp.ceil(confidence * number) - 1
        bins = jnp.where(jnp.isnan(place), 0, jnp.clip(place, 0, number - 1)).astype(jnp.int32)
        return Calibration(
            add_counts(self.right, bins, jnp.where(right, each, 0)),
            add_counts(self.confidence, bins, each * confidence),
            add_counts(self.weight, bins, each),
        )

    @error_context("Calibration.merge", package="metrics")
    def merge(self, other: "Calibration") -> "Calibration":
        """The state after the examples of both.

        Raises:
            ShapeError: another number of bins.
        """
        return Calibration(
            self.right.merge(other.right), self.confidence.merge(other.confidence), self.weight.merge(other.weight)
        )

    def compute(self) -> CalibrationBins:
        """The errors and the diagram; the errors are NaN where the weights add up to 0."""
        weight = self.weight.value()
        there = jnp.where(weight == 0, jnp.nan, weight)
        accuracy, confidence = self.right.value() / there, self.confidence.value() / there
        gap = jnp.abs(accuracy - confidence)
        expected = jnp.where(weight == 0, 0, gap * weight).sum() / weight.sum()
        largest = jnp.where(weight == 0, -jnp.inf, gap).max()  # NaN where a confidence is NaN, as the expected error
        return CalibrationBins(expected, jnp.where(weight.sum() == 0, jnp.nan, largest), accuracy, confidence, weight)
