"""Ten imbalanced classes, the last with a fiftieth of the images of the first: three methods to train on them.

The number of training images decreases exponentially from class to class (Cui et al. 2019): 1,000 airplanes, 20 trucks.
The network is the same. ``plain`` draws every image once in an epoch, ``weighted_loss`` multiplies the loss of an image
by the inverse frequency of its class, ``balanced_sampling`` draws every class equally often. Every class has the same
number of test images, so accuracy equals balanced accuracy. The settings are the best ones of ``plain`` with
``hold_out=6``, without test images.

run     jaxcnn repeat imbalanced_cifar10 --seeds 3  (CIFAR-10 prepared by tensorflow-datasets; see docs/your_data.md)
cost    not known (several starts, or a busy machine), 2 cores
result  plain: 39.55 ± 0.59 % test accuracy, 0.3955 ± 0.0059 balanced accuracy over 3 seeds
result  weighted_loss: 44.94 ± 2.04 % test accuracy, 0.4494 ± 0.0204 balanced accuracy over 3 seeds
result  balanced_sampling: 45.83 ± 1.59 % test accuracy, 0.4583 ± 0.0159 balanced accuracy over 3 seeds
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal

import jax
import numpy as np
import optax
from flax import linen

from jaxcnn import augment, data, metrics, nn, train

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weighted_loss": {"balance": "loss"},
    "balanced_sampling": {"balance": "sampling"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    balance: Annotated[Literal["none", "loss", "sampling"], "what is done about the frequencies of the classes"] = (
        "none"
    )
    largest: Annotated[int, "training images of the first class"] = 1000
    ratio: Annotated[float, "the number of images of the first class in those of the last"] = 50.0
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines the images, initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 15
    batch_size: Annotated[int, "images of a step"] = 32
    width: Annotated[int, "channels of the first convolution"] = 16
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 3e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


class Network(linen.Module):
    """Three convolutions with stride 2 and batch norm, and a linear head."""

    width: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        for index in range(3):
            x = nn.Conv(self.width * 2**index, (3, 3), strides=2, use_bias=False, name=f"conv{index}")(x)
            x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name=f"norm{index}")(x))
        return linen.Dense(10, name="head")(x.reshape(len(x), -1))


def long_tailed(split: data.Split, largest: int, ratio: float, seed: int) -> data.Split:
    """Images of each class, drawn by the seed: ``largest`` of class 0 down to ``largest / ratio`` of class 9."""
    order = np.random.default_rng(seed).permutation(len(split))
    counts = [round(largest * ratio ** (-label / 9)) for label in range(10)]
    chosen = [order[split["label"][order] == label][:count] for label, count in enumerate(counts)]
    return split.take(np.sort(np.concatenate(chosen)))


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    images = data.load("cifar10", data_dir=config.data_dir)
    normalize = train.standardize(images.mean, images.std)
    few = long_tailed(images.train, config.largest, config.ratio, config.seed)
    images = data.hold_out(dataclasses.replace(images, train=few), one_in=config.hold_out)
    weights = data.balanced_weights(images.train["label"])
    total_steps = config.epochs * data.steps_per_epoch(len(images.train), config.batch_size)
    schedule = train.warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    functions = train.classification(Network(config.width), normalize=normalize)

    def weighted(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        losses, aux = functions["objective"](variables, batch, key)
        return losses * jax.numpy.asarray(weights)[batch["index"]], aux

    def summarize(outputs: Any, targets: Any) -> dict[str, float]:
        matrix = metrics.confusion_matrix(targets["label"], outputs["probabilities"].argmax(-1), num_classes=10)
        return {"balanced_accuracy": float(metrics.balanced_accuracy(matrix))}

    return train.Experiment(
        **functions | ({"objective": weighted} if config.balance == "loss" else {}),
        summarize=summarize,
        data=images,
        sample_weights=weights if config.balance == "sampling" else None,
        optimizer=train.with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=train.decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on(
            "image", augment.chain(functools.partial(augment.random_crop, size=32, padding=2), augment.random_flip)
        ),
        best="balanced_accuracy",
        evaluate_every=config.epochs,
    )
