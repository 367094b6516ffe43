"""What an experiment's ``build(config)`` returns: everything a run needs, as ordinary objects."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.typing import ArrayLike

from jaxcnn._reprs import short_repr
from jaxcnn.data import Dataset, StreamedDataset, steps_per_epoch

PerExampleLoss = Callable[[jax.Array, jax.Array], jax.Array]

# ``TrainState.step`` is an int32.
MOST_STEPS = 2**31 - 1


def to_unit(images: jax.Array) -> jax.Array:
    """Pixels 0..255 as float32 in [0, 1]: the default of ``Experiment.prepare``.

    >>> to_unit(jnp.array([0, 255], jnp.uint8))
    Array([0., 1.], dtype=float32)
    """
    return images.astype(jnp.float32) / 255.0


def cross_entropy(label_smoothing: float = 0.0) -> PerExampleLoss:
    """Softmax cross-entropy of each label, ``-sum(t * log softmax(logits))``.

    ``t`` gives ``1 - label_smoothing`` to the label and spreads the rest over all classes
    (Szegedy et al. 2016, "Rethinking the Inception architecture", section 7). Labels may also be shares of all
    classes, shaped like the logits, as ``Experiment.mix`` makes them; these are smoothed alike.

    Raises:
        ValueError: ``label_smoothing`` is not in [0, 1).

    >>> logits, labels = jnp.array([[2.0, 0.0]]), jnp.array([0])
    >>> [round(float(cross_entropy(smoothing)(logits, labels)[0]), 3) for smoothing in (0.0, 0.1)]
    [0.127, 0.227]
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"expected a label_smoothing of at least 0 and less than 1, got {label_smoothing}. "
            f"It is the share of each label that is spread over all classes; 0.1 is usual."
        )

    def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
        targets = labels if labels.ndim == logits.ndim else jax.nn.one_hot(labels, logits.shape[-1])
        return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))

    return loss


def standardize(mean: ArrayLike, std: ArrayLike) -> Callable[[jax.Array], jax.Array]:
    """The function ``(images - mean) / std`` with one number per channel: what ``Experiment.normalize`` mostly is.

    Raises:
        ValueError: a mean or a standard deviation is not finite, or a standard deviation is not positive.

    >>> standardize([0.5], [0.25])(jnp.full((1, 1, 1, 1), 0.75))
    Array([[[[1.]]]], dtype=float32)
    """
    centre, spread = (np.asarray(value, np.float32).reshape(1, 1, 1, -1) for value in (mean, std))
    if not (np.isfinite(centre).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise ValueError(
            f"expected finite means and positive finite standard deviations, got mean={centre.ravel()} "
            f"and std={spread.ravel()}. A channel that has one value only has a standard deviation of 0; use 1 for it."
        )
    return lambda images: (images - centre) / spread


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A model, its data, and how the one learns from the other.

    A training step reads, from left to right: uint8 images of a batch -> ``prepare`` -> ``alternate`` -> ``augment``
    -> ``mix`` -> ``normalize`` -> ``model`` -> ``loss``. Evaluation and prediction leave out ``alternate``,
    ``augment`` and ``mix``.

    Attributes:
        model: a Linen module; ``model.apply(variables, x, train=...)`` gives logits, of each image or of each pixel.
        dataset: uint8 images and labels: in memory, a label for each image or one for each pixel; or streamed.
        optimizer: any Optax transformation.
        schedule: the learning rate by step, for the record; the optimizer has it already.
        epochs: passes over the training images; a last batch that would not be full is left out, each time another.
        batch_size: images of a step.
        seed: decides initial parameters, order and augmentation; from 0 to 2**32 - 1.
        prepare: uint8 images -> floats in [0, 1] of the size that the model reads.
        alternate: key, prepared images, their numbers in the training set and ``epoch=`` -> prepared images; the key is
            the same in every step, for what takes turns and is not drawn anew, as ``augment.alternating_flip``.
        augment: key and prepared images -> prepared images.
        mix: key, prepared images and a one-hot row for each label -> images and rows, as ``augment.mixup`` and
            ``augment.cutmix``; the loss is then given those rows for labels, and a hit is what has the largest share.
        normalize: prepared images -> the model's input.
        loss: logits and labels -> the loss of each label; their mean is what training lowers.
        ema_decay: weight of the old value in an average of the parameters, which is then what is evaluated; 0 is off.
        start: freshly initialised variables -> those that training starts from; for fine-tuning, ``start_from``.
        train_mode: False trains with ``model.apply(train=False)``, as fine-tuning on few images does: batch statistics
            are used as they are and stay, and nothing is dropped out.
        max_skipped: a step with a NaN or an infinity in its loss, gradient or update is skipped whole; after this many
            in a row the run stops and says where it began.
        max_loss_jump: an epoch whose mean training loss, a positive number, is more than so many times that of the last
            epoch in order is undone: training goes on from the state before it, with the images of the next epoch and
            a schedule that is an epoch behind. After three such epochs in a row the run stops. None never goes back.
        loss_scale: for models computed in float16, whose small gradients would vanish: the loss is multiplied by it,
            the gradients divided. 2.0**15 is usual. It is halved whenever a gradient overflows, which skips that step,
            and doubled every 2,000 steps. None is off: float32 and bfloat16 need none.
        test_time: the function that maps images to logits, and prepared images -> logits, for evaluation and
            prediction: several views of each image, as ``augment.average_over_views`` averages them. None shows each
            image once.
        evaluate_every: epochs from one evaluation to the next; the last epoch is always evaluated.
    """

    model: nn.Module
    dataset: Dataset | StreamedDataset
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    epochs: int
    batch_size: int
    seed: int = 0
    prepare: Callable[[jax.Array], jax.Array] = to_unit
    alternate: Callable[..., jax.Array] | None = None
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    mix: Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None = None
    normalize: Callable[[jax.Array], jax.Array] = lambda images: images
    loss: PerExampleLoss = dataclasses.field(default_factory=cross_entropy)
    ema_decay: float = 0.0
    start: Callable[[Any], Any] = lambda variables: variables
    train_mode: bool = True
    max_skipped: int = 10
    max_loss_jump: float | None = None
    loss_scale: float | None = None
    test_time: Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array] | None = None
    evaluate_every: int = 1

    __repr__ = short_repr

    def __post_init__(self) -> None:
        steps_per_epoch(len(self.dataset.train), self.batch_size)
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
        if self.evaluate_every < 1:
            raise ValueError(f"evaluate_every={self.evaluate_every}: it counts epochs, at least 1.")
        if self.loss_scale is not None and not 1 <= self.loss_scale < float("inf"):
            raise ValueError(f"loss_scale={self.loss_scale} must be at least 1 and finite, or None.")

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training images."""
        return steps_per_epoch(len(self.dataset.train), self.batch_size)

    @property
    def streams(self) -> bool:
        """Whether images are read while they are needed, and a step is given its batch in place of all of them."""
        return isinstance(self.dataset, StreamedDataset)

    def logits(self, variables: Mapping[str, Any], images: jax.Array) -> jax.Array:
        """Logits of uint8 images in float32, as evaluation and prediction see them: without augmentation."""

        def apply(x: jax.Array) -> jax.Array:
            return jnp.asarray(self.model.apply(variables, self.normalize(x), train=False), jnp.float32)

        x = self.prepare(images)
        return apply(x) if self.test_time is None else self.test_time(apply, x)

    def evaluates(self, epoch: int) -> bool:
        """Whether the test images are looked at after this epoch, the first being 1."""
        return epoch % self.evaluate_every == 0 or epoch == self.epochs

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch
