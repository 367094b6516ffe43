"""Early stopping: a run ends when a measure of the validation split no longer improves."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from jaxcnn.train._errors import ConfigError

# Its entries in the record of an epoch.
WITHOUT_IMPROVEMENT, STOPPED = "early_stopping/epochs_without_improvement", "early_stopping/stopped"
# Words in the names of measures of which less, or more, is better.
_LESS = {"brier", "distance", "error", "loss", "mae", "mse", "nll", "perplexity", "rmse"}
_MORE = {"accuracy", "ap", "auc", "dice", "f1", "iou", "map", "precision", "psnr", "r2", "recall", "ssim"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Ends a run after an epoch when a measure of the validation split has not improved for ``patience`` epochs.

    The number of epochs without improvement is computed from the records of the run, so that a resumed run ends after
    the same epoch. Each record has it as ``early_stopping/epochs_without_improvement``. After the last epoch the test
    split is evaluated, as at the end of every run. The variables are those of the last epoch; the checkpoint ``best``
    has the best ones, by ``Experiment.best``.

    Attributes:
        metric: the name of a measure of the validation split, such as ``"accuracy"`` or ``"val/accuracy"``.
        patience: the number of epochs without improvement after which the run ends.
        min_delta: an improvement is larger than this; 0 counts every improvement.
        mode: ``"min"`` or ``"max"``, whichever is better; by default decided by the name of the metric.

    Raises:
        ValueError: the metric is one of the test or the training split; its direction is not known; or a number is out
            of range.
        TypeError: ``patience`` is not an int.

    >>> rule = EarlyStopping(metric="accuracy", patience=2)
    >>> accuracies = [0.5, 0.8, 0.7, 0.8]
    >>> records = [{"epoch": epoch, "val/accuracy": value} for epoch, value in enumerate(accuracies, start=1)]
    >>> [rule.epochs_without_improvement(records[:last]) for last in range(1, 5)]
    [0, 0, 1, 2]
    >>> rule.stops(records[:3]), rule.stops(records)
    (False, True)
    """

    metric: str
    patience: int
    min_delta: float = 0.0
    mode: Literal["min", "max"] | None = None

    def __post_init__(self) -> None:
        if self.metric.startswith(("test/", "train/")):
            split, _, name = self.metric.partition("/")
            raise ValueError(
                f"metric={self.metric!r}: a run is not stopped by the {split} split: choices are made on "
                f"validation data. Use metric={name!r}, which is of the validation split."
            )
        if type(self.patience) is not int:
            raise TypeError(f"patience={self.patience!r}: expected an int, a number of epochs.")
        if self.patience < 1:
            raise ValueError(f"patience={self.patience}: expected a number of epochs, at least 1.")
        if not 0 <= self.min_delta < math.inf:
            raise ValueError(f"min_delta={self.min_delta}: expected a finite number, at least 0.")
        if self.mode not in ("min", "max", None):
            raise ValueError(f"mode={self.mode!r}: expected 'min' or 'max'.")
        _ = self.sign

    @property
    def name(self) -> str:
        """The measure as records name it."""
        return f"val/{self.metric.removeprefix('val/')}"

    @property
    def sign(self) -> int:
        """1 if larger is better, -1 if smaller is better.

        Raises:
            ValueError: ``mode`` is not given and does not follow from the name of the metric.
        """
        if self.mode is not None:
            return 1 if self.mode == "max" else -1
        words = set(self.name.removeprefix("val/").lower().replace("-", "_").split("_"))
        less, more = bool(words & _LESS), bool(words & _MORE)
        if less == more:
            raise ValueError(f"metric={self.metric!r}: is less of it better, or more? Give mode='min' or mode='max'.")
        return 1 if more else -1

    def check(self, measures: Iterable[str]) -> None:
        """Refuses a metric that the evaluation does not have.

        Raises:
            ConfigError: the evaluation has no measure of this name.
        """
        if (plain := self.name.removeprefix("val/")) not in measures:
            raise ConfigError(
                f"early_stopping: the evaluation has no measure {plain!r}; it has {', '.join(measures)}. Name one of "
                f"them as metric."
            )

    def epochs_without_improvement(self, records: Iterable[Mapping[str, Any]]) -> int:
        """The number of epochs from the best one to the last evaluated one; a NaN is no improvement."""
        best, best_epoch, epoch = -math.inf, 0, 0
        for record in records:
            if self.name in record:
                epoch, value = record["epoch"], self.sign * record[self.name]
                if value > best + self.min_delta:
                    best, best_epoch = value, epoch
        return epoch - best_epoch

    def stops(self, records: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a run with these records has ended."""
        return self.epochs_without_improvement(records) >= self.patience
