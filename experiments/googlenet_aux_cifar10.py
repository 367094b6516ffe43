"""GoogLeNet with and without its two auxiliary heads, with an eighth of its channels, on a part of CIFAR-10.

The heads are classifiers of the maps of blocks 4a and 4d, which exist in training only; their losses have a weight of
0.3 each (Szegedy et al. 2014). The network is that of torchvision, with batch norm, whose heads accept any image size.
The settings are not tuned. In these short runs the heads do not increase the accuracy.

run     jaxcnn repeat googlenet_aux_cifar10 --seeds 3  (CIFAR-10 prepared by tensorflow-datasets; see docs/your_data.md)
cost    4:23 a run on 1 core
result  with_heads: 36.91 ± 0.93 % test accuracy, 63.09 ± 0.93 % error over 3 seeds
result  without: 38.40 ± 1.00 % test accuracy, 61.60 ± 1.00 % error over 3 seeds
"""

import dataclasses
from typing import Annotated, Any

import jax
import optax

from jaxcnn import augment, data, models, train

VARIANTS: dict[str, dict[str, Any]] = {"with_heads": {}, "without": {"aux_weight": 0.0}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    aux_weight: Annotated[float, "weight of the loss of each auxiliary head; 0 is without them"] = 0.3
    width: Annotated[float, "share of the channels of every layer"] = 0.125
    images: Annotated[int, "training images, the first ones"] = 8000
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 4
    batch_size: Annotated[int, "images of a step"] = 64
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 5e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    cifar10 = data.load("cifar10", data_dir=config.data_dir)
    normalize = train.standardize(cifar10.mean, cifar10.std)
    cifar10 = dataclasses.replace(cifar10, train=cifar10.train.take(slice(config.images)))
    cifar10 = data.hold_out(cifar10, one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(cifar10.train), config.batch_size)
    schedule = train.warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model: Any = models.create(
        "googlenet_torchvision", num_classes=10, width=config.width, aux_heads=config.aux_weight > 0, dropout_rate=0.0
    )

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        found, updates = model.apply(
            variables,
            normalize(batch["image"]),
            train=True,
            method="features",
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )

        def loss(name: str) -> jax.Array:
            return optax.softmax_cross_entropy_with_integer_labels(found[name], batch["label"])

        losses = loss("logits") + sum(config.aux_weight * loss(head) for head in ("aux1", "aux2") if head in found)
        accuracy = found["logits"].argmax(-1) == batch["label"]
        return losses, train.Aux(updates=updates, metrics={"accuracy": accuracy})

    return train.Experiment(
        **train.classification(model, normalize=normalize) | {"objective": objective},
        data=cifar10,
        optimizer=train.with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=train.decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", augment.random_flip),
        evaluate_every=config.epochs,
    )
