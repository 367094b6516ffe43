"""The experiment that ``build(config)`` returns: everything that a run requires, as ordinary objects."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int
from jaxcnn._reprs import fields_table, short_repr
from jaxcnn.data import Dataset, StreamedDataset, steps_per_epoch
from jaxcnn.train._early_stopping import EarlyStopping

Batch = Mapping[str, Any]
Variables = Mapping[str, Any]

# ``TrainState.step`` is an int32.
MOST_STEPS = 2**31 - 1


def to_unit(images: jax.Array) -> jax.Array:
    """Pixels 0..255 as float32 in [0, 1].

    Args:
        images: of any shape.

    >>> to_unit(jnp.array([0, 255], jnp.uint8))
    Array([0., 1.], dtype=float32)
    """
    return images.astype(jnp.float32) / 255.0


def images_to_unit(batch: Batch) -> dict[str, Any]:
    """The batch with ``to_unit`` of ``image`` and ``video`` where these are uint8: the default ``Experiment.prepare``.

    >>> images_to_unit({"image": jnp.array([[255]], jnp.uint8), "label": jnp.array([3])})
    {'image': Array([[1.]], dtype=float32), 'label': Array([3], dtype=int32)}
    """
    pixels = {name: batch[name] for name in ("image", "video") if name in batch and batch[name].dtype == jnp.uint8}
    return {**batch, **{name: to_unit(array) for name, array in pixels.items()}}


def standardize(mean: ArrayLike, std: ArrayLike) -> Callable[[jax.Array], jax.Array]:
    """The function ``(x - mean) / std`` with one number per channel, the last axis, for ``normalize`` of a task.

    Raises:
        ValueError: a mean or a standard deviation is not finite, or a standard deviation is not positive.

    >>> standardize([0.5], [0.25])(jnp.full((1, 1, 1, 1), 0.75))
    Array([[[[1.]]]], dtype=float32)
    """
    centre, spread = (np.asarray(value, np.float32).reshape(-1) for value in (mean, std))
    if not (np.isfinite(centre).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise ValueError(
            f"expected finite means and positive finite standard deviations, got mean={centre} "
            f"and std={spread}. A channel that has one value only has a standard deviation of 0; use 1 for it."
        )

    def standardized(x: jax.Array) -> jax.Array:
        shape = (1,) * (x.ndim - 1) + (-1,)
        return (x - centre.reshape(shape)) / spread.reshape(shape)

    return standardized


@struct.dataclass
class Aux:
    """The second result of an objective, after the loss.

    Attributes:
        updates: new values of whole collections other than ``params``, such as
            ``{"batch_stats": updated["batch_stats"]}``; a collection that is not named keeps its values.
        metrics: arrays ``(batch,)`` by name, one number for each example, whose means over the epoch are recorded as
            ``train/NAME``. The mean loss is ``train/loss``, so no metric is called ``loss``.

    >>> Aux(metrics={"distance": jnp.array([0.5, 1.5])})
    Aux(updates={}, metrics={'distance': Array([0.5, 1.5], dtype=float32)})
    """

    updates: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, jax.Array] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Variables, a loss, data, and an optimizer.

    A batch is a dict of arrays with a common leading axis. A training step is ``prepare`` -> ``augment`` ->
    ``objective`` -> gradient with respect to ``variables["params"]`` -> ``optimizer``. Evaluation and prediction are
    ``prepare`` -> ``evaluate`` or ``predict``. ``train.classification`` and similar functions make ``init``,
    ``objective``, ``evaluate``, ``predict`` and others for the usual tasks; several networks with several
    optimizers are one ``variables`` dict, one objective, and ``optax.multi_transform``.

    Attributes:
        init: ``(key, batch) -> variables``: a dict of Flax collections. ``params`` is trained; others, such as
            ``batch_stats``, are carried along. The batch is one example of zeros, prepared.
        objective: ``(variables, batch, key) -> (loss, Aux(updates, metrics))``. The loss is one number, or one for each
            example, whose mean is then the loss.
        evaluate: ``(variables, batch) -> {name: array}``, one number for each example; means over a split are recorded
            as ``test/NAME`` and ``val/NAME``, where each example counts once. A batch has up to 500 examples for all
            devices, fewer of large images.
        data: the splits, in memory or streamed.
        optimizer: any Optax transformation. ``train.with_schedule`` makes one whose learning rate is recorded.
        epochs: passes over the training examples. An incomplete last batch is left out; its examples differ from epoch
            to epoch.
        batch_size: examples of a step.
        sample_weights: one weight for each training example, such as ``data.balanced_weights(labels)``. Each entry of a
            batch is drawn with replacement, with a probability in proportion to its weight; the number of steps of an
            epoch does not change. None: every example once in an epoch, in random order.
        seed: determines initial variables, order and augmentation; from 0 to 2**32 - 1.
        predict: ``(variables, batch) -> outputs``, a pytree of arrays with one entry for each example.
        count_classes: ``(variables, batch) -> int``, the number of classes that the model distinguishes, from shapes
            alone, where ``predict`` gives no ``probabilities``. ``dry_run`` refuses another number than the data has.
        summarize: ``(outputs, targets) -> {name: number}`` on the host, for measures that are not means over examples:
            what ``predict`` returned for a whole split, and the split's own arrays without ``image`` and ``video``.
        measure: after training, ``Trained -> {name: array}``, which is written to ``measured.json`` of the run folder.
        prepare: batch -> batch, in training, evaluation and prediction; it must accept batches that lack some arrays,
            such as those of prediction, which have no targets.
        augment: ``(key, batch) -> batch``, in training only. Here, as in ``objective``, a batch has two more arrays:
            ``index``, the position of each example in the training split, and ``epoch``, counted from 0.
        start: freshly initialised variables -> those that training starts from; for fine-tuning, ``start_from``.
        ema_decay: weight of the old value in an average of the parameters, which is then evaluated; 0 is off.
        best: the evaluated measure by which the checkpoint ``best`` is chosen; ``"-loss"`` chooses the smallest. By
            default ``accuracy``, or else the smallest ``loss``, if there is one.
        max_skipped: a step with a NaN or an infinity in its loss, gradient or update is skipped whole; after this many
            in a row the run ends with an error that names the first value that is not finite.
        max_loss_jump: an epoch whose mean training loss, a positive number, is more than this many times that of the
            last good epoch is undone: training continues from the state before it, with the examples of the next epoch.
            After three such epochs in a row the run stops. None is off.
        loss_scale: for models computed in float16, whose small gradients would vanish: the loss is multiplied by it,
            the gradients divided. 2.0**15 is usual. It is halved whenever a gradient overflows, which skips that step,
            and doubled every 2,000 steps. None is off: float32 and bfloat16 need none.
        evaluate_every: epochs from one evaluation to the next; the last epoch is always evaluated.
        early_stopping: the rule by which the run ends before its last epoch; None is off.
    """

    init: Callable[[jax.Array, dict[str, Any]], Variables]
    objective: Callable[[dict[str, Any], dict[str, Any], jax.Array], tuple[jax.Array, Aux]]
    evaluate: Callable[[dict[str, Any], dict[str, Any]], Mapping[str, jax.Array]]
    data: Dataset | StreamedDataset
    optimizer: optax.GradientTransformation
    epochs: int
    batch_size: int
    sample_weights: np.ndarray | None = dataclasses.field(default=None, compare=False)
    seed: int = 0
    predict: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None
    count_classes: Callable[[dict[str, Any], dict[str, Any]], int] | None = None
    summarize: Callable[[Any, dict[str, np.ndarray]], Mapping[str, float]] | None = None
    measure: Callable[[Any], Mapping[str, Any]] | None = None
    prepare: Callable[[dict[str, Any]], Batch] = images_to_unit
    augment: Callable[[jax.Array, dict[str, Any]], Batch] | None = None
    start: Callable[[Any], Any] = lambda variables: variables
    ema_decay: float = 0.0
    best: str | None = None
    max_skipped: int = 10
    max_loss_jump: float | None = None
    loss_scale: float | None = None
    evaluate_every: int = 1
    early_stopping: EarlyStopping | None = None

    __repr__ = short_repr
    _repr_html_ = fields_table

    def __post_init__(self) -> None:
        steps_per_epoch(len(self.data.train), self.batch_size)
        for name in ("epochs", "seed", "max_skipped", "evaluate_every"):
            as_int(getattr(self, name), name=name)
        if self.epochs < 1:
            raise ValueError(f"epochs={self.epochs}: a run needs at least one.")
        if self.total_steps > MOST_STEPS:
            most = MOST_STEPS // self.steps_per_epoch
            raise ValueError(
                f"epochs={self.epochs}: a run has at most {MOST_STEPS:,} steps, because they are counted in 32 bits; "
                f"with {self.steps_per_epoch} steps in an epoch that is {most:,} epochs."
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(
                f"seed={self.seed}: expected 0 to {2**32 - 1}. JAX's keys ignore all other bits, so a seed outside of "
                f"this range would be the same run as one inside."
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay={self.ema_decay}: it is a weight, at least 0 and under 1.")
        if self.max_skipped < 1:
            raise ValueError(f"max_skipped={self.max_skipped}: a run can stop after 1 skipped step at the earliest.")
        if self.max_loss_jump is not None and not self.max_loss_jump > 1:
            raise ValueError(f"max_loss_jump={self.max_loss_jump}: it is a factor, over 1, or None.")
        if self.sample_weights is not None:
            _check_weights(self.sample_weights, len(self.data.train))
        if self.evaluate_every < 1:
            raise ValueError(f"evaluate_every={self.evaluate_every}: it counts epochs, at least 1.")
        if self.loss_scale is not None and not 1 <= self.loss_scale < float("inf"):
            raise ValueError(f"loss_scale={self.loss_scale} must be at least 1 and finite, or None.")
        if self.summarize is not None and self.predict is None:
            raise ValueError("summarize is given what predict returns for a whole split, but there is no predict.")
        if self.early_stopping is not None:
            if not isinstance(self.early_stopping, EarlyStopping):
                raise TypeError(f"early_stopping={self.early_stopping!r}: expected a train.EarlyStopping, or None.")
            if self.data.validation is None:
                raise ValueError(
                    f"early_stopping requires a validation split, and {self.data.name} has none. Hold out a part of "
                    f"the training split with data.hold_out(...)."
                )
        if reserved := {"index", "epoch"} & set(self.data.train.fields):
            raise ValueError(
                f"{self.data.name}: an array cannot be named {' or '.join(sorted(reserved))}, since every training "
                f"batch has an array of this name. Rename it."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training split."""
        return steps_per_epoch(len(self.data.train), self.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def streams(self) -> bool:
        """Whether examples are read during training, and a step receives its batch instead of all examples."""
        return isinstance(self.data, StreamedDataset)

    def evaluates(self, epoch: int) -> bool:
        """Whether there is an evaluation after this epoch, the first being 1."""
        return epoch % self.evaluate_every == 0 or epoch == self.epochs


def _check_weights(weights: np.ndarray, count: int) -> None:
    """Refuses invalid weights of ``count`` examples.

    Raises:
        ValueError: another shape, a weight that is negative or not finite, or weights that are all zero.
    """
    shape = np.shape(weights)
    if shape != (count,):
        raise ValueError(
            f"sample_weights: expected one weight for each of the {count} training examples, got the shape {shape}. "
            f"Is there a validation split that was held out after the weights were computed?"
        )
    if not (np.isfinite(weights).all() and (np.asarray(weights) >= 0).all() and np.any(weights)):
        raise ValueError(
            f"sample_weights: expected finite weights of at least 0, some of them positive, got {np.min(weights)} to "
            f"{np.max(weights)}."
        )
