"""ResNet-18 and MobileNetV2 on CIFAR-10, trained to be made smaller afterwards (docs/tasks/deployment.md).

Both networks are those for ImageNet. ResNet-18 keeps its first layer of stride 2 and its pooling, so its four stages
have maps of 8x8, 4x4, 2x2 and 1x1 pixels. In MobileNetV2 the second stage has stride 1 instead of 2, so its last maps
have 2x2 pixels. Images are shifted by up to four pixels and mirrored. The runs are short and the settings are not
tuned: the accuracy is a starting point for ``python -m docs.bench.smaller RUN``, not the best of the networks.

run     jaxcnn repeat deployed_cifar10 --seeds 1  (CIFAR-10 prepared by tensorflow-datasets; see docs/your_data.md)
cost    33:03 a run on 1 core
result  resnet18: 77.40 % test accuracy, 22.60 % error over 1 seed
cost    36:32 a run on 1 core
result  mobilenet_v2: 73.70 % test accuracy, 26.30 % error over 1 seed
"""

import dataclasses
from typing import Annotated, Any

import jax
import optax

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, classification, decay_mask, standardize, warmup_cosine, with_schedule

OPTIONS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "mobilenet_v2": {
        "dropout_rate": 0.0,
        "stages": (  # expansion, channels, blocks, stride: those for ImageNet, but for the stride of the second
            (1, 16, 1, 1),
            (6, 24, 2, 1),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ),
    },
}
VARIANTS: dict[str, dict[str, Any]] = {name: {"network": name} for name in OPTIONS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[str, "resnet18 or mobilenet_v2"] = "resnet18"
    width: Annotated[float, "share of the channels of every layer"] = 1.0
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 6
    batch_size: Annotated[int, "images of a step"] = 128
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 4e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 2e-2


def shift_and_flip(key: jax.Array, x: jax.Array) -> jax.Array:
    """Each image moved by up to four pixels, into zeros; half of them mirrored."""
    shift_key, flip_key = jax.random.split(key)
    return augment.random_flip(flip_key, augment.random_shift(shift_key, x, max_pixels=4))


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    if config.network not in OPTIONS:
        raise ValueError(f"network={config.network!r}: there are {', '.join(OPTIONS)}.")
    cifar10 = data.hold_out(data.load("cifar10", data_dir=config.data_dir), one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(cifar10.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    # ResNet counts the channels of its first layer, of which the other layers have multiples.
    width = round(64 * config.width) if config.network == "resnet18" else config.width
    model: Any = models.create(config.network, num_classes=10, width=width, **OPTIONS[config.network])
    return Experiment(
        **classification(model, normalize=standardize(cifar10.mean, cifar10.std)),
        data=cifar10,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", shift_and_flip),
        evaluate_every=config.epochs,
    )
