"""Fashion-MNIST by a network with fewer than 100,000 parameters, and by a residual network.

The README of the data set lists 92.5 % for two convolutions with fewer than 100,000 parameters, and 94.9 % for
ResNet-18. ``network=small`` has 89,506 parameters; ``network=resnet`` is ResNet-18 for small images, with 11.2 million
parameters, and requires a GPU.

run     jaxcnn train fashion_mnist           (downloads the images, 30 MB, where TFDS has not prepared them)
        jaxcnn train fashion_mnist --set network=resnet --set epochs=60
cost    not run; a test traces both networks
result  not run
"""

import dataclasses
from typing import Annotated, Any

import jax
import optax
from flax import linen

from jaxcnn import augment, data, models, nn
from jaxcnn.train import (
    Experiment,
    classification,
    cross_entropy,
    decay_mask,
    standardize,
    warmup_cosine,
    with_schedule,
)

NETWORKS = ("small", "resnet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[str, "small or resnet"] = "small"
    dataset: Annotated[str, "fashion_mnist, mnist, digits or folder:/path"] = "fashion_mnist"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 30
    batch_size: Annotated[int, "images of a step"] = 128
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 4e-3
    warmup: Annotated[float, "share of the steps in which the rate rises to its peak"] = 0.1
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 5e-2
    label_smoothing: Annotated[float, "share of a label spread over all classes"] = 0.05
    shift: Annotated[int, "largest random shift in pixels"] = 2
    erasing: Annotated[float, "probability that a rectangle of an image is erased"] = 0.25
    ema_decay: Annotated[float, "weight of the old value in the averaged parameters; 0 is off"] = 0.999


class Small(linen.Module):
    """Three times two 3x3 convolutions with batch norm, pooled to half between, and a head on the mean of the map."""

    num_classes: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        for index, features in enumerate((24, 24, 40, 40, 64, 64)):
            if index in (2, 4):
                x = nn.max_pool(x, (2, 2), strides=2)
            x = nn.Conv(features, (3, 3), use_bias=False, name=f"conv{index + 1}")(x)
            x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name=f"norm{index + 1}")(x))
        return linen.Dense(self.num_classes, name="head")(nn.global_avg_pool(x, spatial_ndim=2))


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    if config.network not in NETWORKS:
        raise ValueError(f"network={config.network!r}: it is one of {', '.join(NETWORKS)}.")
    images = data.load(config.dataset, data_dir=config.data_dir)
    mean, std = images.mean, images.std
    images = data.hold_out(images, one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(images.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=config.warmup)
    classes = len(images.class_names)
    model: Any = Small(classes) if config.network == "small" else models.create("resnet18_cifar", num_classes=classes)

    def changed(key: jax.Array, x: jax.Array) -> jax.Array:
        shift_key, flip_key, erase_key = jax.random.split(key, 3)
        x = augment.random_flip(flip_key, augment.random_shift(shift_key, x, max_pixels=config.shift))
        return augment.random_erasing(erase_key, x, probability=config.erasing)

    return Experiment(
        **classification(model, normalize=standardize(mean, std), loss=cross_entropy(config.label_smoothing)),
        data=images,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", changed),
        ema_decay=config.ema_decay,
    )
