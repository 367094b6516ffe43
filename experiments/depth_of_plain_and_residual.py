r"""Do more layers learn better? Plain and residual networks of 20 and 56 layers on CIFAR-10 (He et al. 2015, figure 6).

The networks of section 4.2 of the paper, with its shifts, flips, batches, momentum and weight decay; `network=plain-56`
is `residual-56` without shortcuts. The claim is about training: the training loss of 56 plain layers is higher than
that of 20, so this is not overfitting; with shortcuts, which add no parameters, it is lower. The paper trains for 164
epochs, this experiment for a few, with the two reductions of the learning rate after the same fractions of the epochs.
docs/reports/depth.md shows the curves.

run     jaxcnn repeat depth_of_plain_and_residual --seeds 1
    (CIFAR-10 prepared by tensorflow-datasets; see docs/your_data.md)
cost    35:51 a run on 1 core
result  plain-56: 22.06 % test accuracy, 77.94 % error over 1 seed
result  residual-56: 34.13 % test accuracy, 65.87 % error over 1 seed
result  plain-20: 50.38 % test accuracy, 49.62 % error over 1 seed
result  residual-20: 60.74 % test accuracy, 39.26 % error over 1 seed
"""

import dataclasses
from typing import Annotated

import jax
import optax

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, classification, decay_mask, standardize, with_schedule

SHORTCUTS = {"plain": "none", "residual": "zero_pad"}
DEPTHS = ("20", "32", "44", "56", "110")
VARIANTS = {network: {"network": network} for network in ("plain-56", "residual-56", "plain-20", "residual-20")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[str, "plain or residual, and of 20, 32, 44, 56 or 110 layers"] = "plain-56"
    dataset: Annotated[str, "cifar10, or any other small colour images"] = "cifar10"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 2
    batch_size: Annotated[int, "images of a step"] = 128
    learning_rate: Annotated[
        float, "at first; a tenth of it after half of the run, and a hundredth after three quarters"
    ] = 0.1
    momentum: Annotated[float, "of stochastic gradient descent"] = 0.9
    weight_decay: Annotated[float, "L2 in the gradient of kernels"] = 1e-4


def shift_and_flip(key: jax.Array, x: jax.Array) -> jax.Array:
    """Each image moved by up to four pixels, into zeros; half of them mirrored."""
    shift_key, flip_key = jax.random.split(key)
    return augment.random_flip(flip_key, augment.random_shift(shift_key, x, max_pixels=4))


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    kind, _, depth = config.network.partition("-")
    if kind not in SHORTCUTS or depth not in DEPTHS:
        raise ValueError(
            f"network={config.network!r}: write plain or residual and one of the depths {', '.join(DEPTHS)}, "
            f"such as plain-56."
        )
    images = data.load(config.dataset, data_dir=config.data_dir)
    total_steps = config.epochs * data.steps_per_epoch(len(images.train), config.batch_size)
    schedule = optax.piecewise_constant_schedule(
        config.learning_rate, {total_steps // 2: 0.1, 3 * total_steps // 4: 0.1}
    )
    return Experiment(
        **classification(
            models.create(f"resnet{depth}_cifar", num_classes=len(images.class_names), shortcut=SHORTCUTS[kind]),
            normalize=standardize(images.mean, images.std),
        ),
        data=images,
        optimizer=optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=decay_mask),
            with_schedule(optax.sgd, schedule, momentum=config.momentum),
        ),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", shift_and_flip),
    )
