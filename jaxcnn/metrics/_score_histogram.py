"""The running forms of ROC AUC and average precision: scores are counted in bins, and the error is known."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._error_context import error_context
from jaxcnn._errors import ShapeError
from jaxcnn.metrics._arrays import as_classes, as_floats, as_weights, same_shape
from jaxcnn.metrics._counts import add_counts
from jaxcnn.metrics._sums import Sum


class BinnedRanking(NamedTuple):
    """Measures of a ranking in which only the bin of each score is known.

    Attributes:
        roc_auc: that of the scores rounded to their bins.
        roc_auc_error: the exact area differs from it by at most this.
        average_precision: the middle of the values that are possible.
        average_precision_error: the exact value differs from it by at most this.
    """

    roc_auc: jax.Array
    roc_auc_error: jax.Array
    average_precision: jax.Array
    average_precision_error: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScoreHistogram:
    """Positive and negative examples by score, in bins: a running form of ``roc_auc`` and ``average_precision``.

    No exact running form exists, since every pair of scores counts. A histogram does not have the order of the examples
    within a bin. With ``p`` and ``n`` the weights of positive and negative examples in a bin, and ``P`` and ``N`` their
    totals, the exact area is within ``sum of p n / (2 P N)`` of the one computed. Average precision is highest where
    all positives of a bin are above its negatives, and lowest where they are below. Both errors are computed from the
    data. More bins make them smaller, and for probabilities close to 0 and 1 so do bins of logits:
    ``empty(low=-15, high=15)``.

    A pytree of sums, for use under ``jit`` and in ``lax.scan``; states of several devices are added with
    ``jax.lax.psum``, those of several processes or files with ``merge``.

    Attributes:
        positive: ``(*shape, bins)``, the weight of the positive examples in each bin.
        negative: the same of the negative ones.
        low: the lowest score.
        high: the highest score. Scores outside count in the first or the last bin.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import metrics
    >>> state = metrics.ScoreHistogram.empty()
    >>> state = state.update([0, 0], jnp.array([0.1, 0.4])).update([1, 1], jnp.array([0.35, 0.8]))
    >>> found = state.compute()
    >>> found.roc_auc, found.roc_auc_error
    (Array(0.75, dtype=float32), Array(0., dtype=float32))
    """

    positive: Sum
    negative: Sum
    low: float = dataclasses.field(metadata={"static": True})
    high: float = dataclasses.field(metadata={"static": True})

    @classmethod
    @error_context("ScoreHistogram.empty", package="metrics")
    def empty(
        cls, *, num_bins: int = 4096, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()
    ) -> "ScoreHistogram":
        """The state before any example.

        Args:
            num_bins: the number of bins, of one width.
            low: the lowest score.
            high: the highest score.
            shape: of the problems that are measured at once: ``(labels,)`` for a multi-label task.

        Raises:
            ValueError: fewer than one bin, or ``low`` that is not below ``high``.
            TypeError: a number of bins that is not an integer.
        """
        num_bins = as_int(num_bins, name="num_bins")
        if num_bins < 1:
            raise ValueError(f"num_bins={num_bins} must be at least 1.")
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"low={low} must be below high={high}, and both finite.")
        return cls(Sum.zeros((*shape, num_bins)), Sum.zeros((*shape, num_bins)), float(low), float(high))

    @error_context("ScoreHistogram.update", package="metrics")
    def update(self, labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> "ScoreHistogram":
        """The state after more examples, with the arguments of ``roc_auc``: ``(n, *shape)``.

        Raises:
            ShapeError: shapes that differ, or whose axes after the first are not those of the state.
            TypeError: labels that are not integers or booleans.
        """
        classes, floats = as_classes(labels, name="labels"), as_floats(scores, name="scores")
        same_shape(classes, floats, names=("labels", "scores"))
        shape, num_bins = self.positive.rounded.shape[:-1], self.positive.rounded.shape[-1]
        if floats.ndim == 0 or floats.shape[1:] != shape:
            raise ShapeError(
                f"scores must have the shape {('n', *shape)}, an axis of examples before the shape of the state, but "
                f"scores.shape={floats.shape}."
            )
        each = as_weights(weights, floats.shape, self.positive.rounded.dtype)
        place = jnp.floor((floats - self.low) * (num_bins / (self.high - self.low)))
        # Clipped as a float, since an infinity has no integer; NaN is in no bin, and makes the sum of its problem NaN.
        bins = jnp.where(jnp.isnan(place), 0, jnp.clip(place, 0, num_bins - 1)).astype(jnp.int32)
        each = jnp.where((each != 0) & jnp.isnan(place), jnp.nan, each)
        first = np.arange(math.prod(shape), dtype=np.int32).reshape(1, *shape) * num_bins
        positive, negative = (
            add_counts(sums, bins + first, jnp.where(chosen, each, 0))
            for sums, chosen in ((self.positive, classes == 1), (self.negative, classes != 1))
        )
        return ScoreHistogram(positive, negative, self.low, self.high)

    @error_context("ScoreHistogram.merge", package="metrics")
    def merge(self, other: "ScoreHistogram") -> "ScoreHistogram":
        """The state after the examples of both.

        Raises:
            ShapeError: other bins.
        """
        if (self.low, self.high, self.positive.rounded.shape) != (other.low, other.high, other.positive.rounded.shape):
            raise ShapeError("two histograms with different bins, limits or shapes cannot be merged.")
        return ScoreHistogram(
            self.positive.merge(other.positive), self.negative.merge(other.negative), self.low, self.high
        )

    def compute(self) -> BinnedRanking:
        """Both measures, and how far each may be from the exact value; NaN where there is nothing to rank."""
        return _ranking(self.positive.value()[..., ::-1], self.negative.value()[..., ::-1])


@jax.jit
def _ranking(positive: jax.Array, negative: jax.Array) -> BinnedRanking:
    """The measures from the weights in the bins, by descending score."""
    hits, false = jnp.cumsum(positive, -1), jnp.cumsum(negative, -1)
    before, false_before = hits - positive, false - negative
    all_positive, all_negative = positive.sum(-1), negative.sum(-1)
    share = positive / all_positive[..., None]
    area = (share * (1 - (false + false_before) / (2 * all_negative[..., None]))).sum(-1)
    area_error = (share * negative).sum(-1) / (2 * all_negative)
    # With all negatives of a bin first, the precision rises with the weight t of its positives,
    # (before + t) / (before + t + false), and its integral over t is at most the sum over positives of any weights.
    behind = jnp.where(before + false > 0, before + false, 1)
    lowest = ((positive - false * jnp.log1p(positive / behind)) / all_positive[..., None]).sum(-1)
    highest = (share * hits / jnp.where(hits > 0, hits + false_before, 1)).sum(-1)
    return BinnedRanking(area, area_error, (highest + lowest) / 2, (highest - lowest) / 2)
